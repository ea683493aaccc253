"""The `kuryr` command."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from kubeloop import (
    ApiError,
    ConfigError,
    LeadershipLost,
    ServingError,
    crd_yaml,
    set_up_logging,
    until_signalled,
)
from kuryr.cli.controller import run_controller
from kuryr.cli.daemon import run_daemon
from kuryr.cli.preflight import preflight
from kuryr.cli.running import Refused
from kuryr.cli.sweep import sweep
from kuryr.cli.uninstall import uninstall
from kuryr.daemon.cni.server import SocketInUse
from kuryr.lab.command_line import add_lab_commands
from kuryr.model.configuration import Configuration, ConfigurationError, load_configuration, render_defaults
from kuryr.model.resources import KINDS
from kuryr.openstack.errors import CloudConfigError, OpenStackError

_CLEAR = (
    ConfigurationError,
    ConfigError,
    CloudConfigError,
    OpenStackError,
    ApiError,
    ServingError,
    SocketInUse,
    LeadershipLost,
    Refused,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. What a user can mend is one line on standard error and exit code 1."""
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except _CLEAR as error:
        print(f"kuryr: {error}", file=sys.stderr)
    except ExceptionGroup as group:
        problems = list(_leaves(group))
        if not all(isinstance(problem, _CLEAR) for problem in problems):
            raise
        for problem in problems:
            print(f"kuryr: {problem}", file=sys.stderr)
    return 1


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    """What went wrong in a task group, and in those within it."""
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kuryr", description="OpenStack Neutron networking for Kubernetes pods")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("controller", run_controller, "give pods Neutron ports"),
        ("daemon", run_daemon, "wire the pods of this node"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("--config", default="", metavar="FILE", help="configuration file; see `kuryr config`")
        one.set_defaults(command=lambda options, run=run: _serve(options, run))
    one = commands.add_parser("preflight", help="check cloud and cluster before pods need them, and say what to do")
    one.add_argument("--config", default="", metavar="FILE", help="the controller's configuration file")
    one.set_defaults(command=preflight)
    one = commands.add_parser("sweep", help="show what nothing explains, and let the controller delete it")
    one.add_argument("--config", default="", metavar="FILE", help="configuration file: which API server")
    what = one.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", action="store_true", help="print what would be deleted, and why")
    what.add_argument(
        "--apply", nargs="?", const="", metavar="PLAN", help="approve what is printed; or PLAN, if it is still that one"
    )
    one.set_defaults(command=sweep)
    one = commands.add_parser("uninstall", help="take out of cluster and cloud what kuryr made")
    one.add_argument("--config", default="", metavar="FILE", help="the controller's configuration file")
    one.add_argument("--plan", action="store_true", help="only print what would be done, and what stays")
    one.add_argument(
        "--force",
        action="store_true",
        help="take the network away from pods that run, and go on without receipts of nodes that are silent",
    )
    one.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long nodes may take (60)")
    one.set_defaults(command=uninstall)
    one = commands.add_parser("config", help="print the default configuration, explained")
    one.set_defaults(command=lambda _: _print(render_defaults()))
    one = commands.add_parser("crds", help="print the custom resource definitions, for kubectl apply -f -")
    one.set_defaults(command=lambda _: _print(crd_yaml(KINDS)))
    add_lab_commands(commands)
    return parser


def _serve(options: argparse.Namespace, run: Callable[[Configuration], Coroutine[Any, Any, None]]) -> int:
    configuration = load_configuration(options.config, os.environ)
    set_up_logging(configuration.log.level, configuration.log.format)
    asyncio.run(until_signalled(run(configuration)))
    return 0


def _print(text: str) -> int:
    print(text, end="")
    return 0
