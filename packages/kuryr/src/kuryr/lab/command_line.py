"""`kuryr lab install | up | status | demo | down | pin | env`."""

import argparse
import os
import shlex
import sys
from typing import Any

from kuryr.lab.demo import demo
from kuryr.lab.installing import install
from kuryr.lab.lab import Lab
from kuryr.lab.layout import LabError, Layout
from kuryr.lab.pinning import pin


def add_lab_commands(commands: Any) -> None:
    """Adds `lab` to the parser's subcommands."""
    lab = commands.add_parser("lab", help="a real OpenStack network and Kubernetes on this machine")
    actions = lab.add_subparsers(required=True, metavar="ACTION")
    for name, text in (
        ("install", "only install what is missing"),
        ("up", "install what is missing, start what does not run"),
        ("status", "every component, asked; the log of one that is not well"),
        ("demo", "pods get their network, ping, and go, before your eyes"),
        ("down", "stop and remove everything"),
        ("pin", "for developers: write the pinned Go modules again"),
        ("env", 'shell settings: eval "$(kuryr lab env)"'),
    ):
        actions.add_parser(name, help=text).set_defaults(command=_run, action=name)


def _run(options: argparse.Namespace) -> int:
    lab = Lab(Layout.of(os.environ))
    try:
        if options.action == "up":
            lab.up()
        elif options.action == "install":
            install(lab.layout)
        elif options.action == "pin":
            pin(lab.layout)
        elif options.action == "down":
            lab.down()
        elif options.action == "demo":
            demo(lab)
        elif options.action == "status":
            return 0 if lab.status() else 1
        else:
            for name, value in lab.env().items():
                print(f"export {name}={shlex.quote(value)}")
    except LabError as error:
        print(f"kuryr lab: {error}", file=sys.stderr)
        return 1
    return 0
