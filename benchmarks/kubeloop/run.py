"""Side by side over the same traffic: what an object listed, an event, a reconcile and a patch cost each client.

    make bench-kubeloop [BENCH="--rounds 1 --objects 1000"]

One replay server on loopback; each workload of each client is a process of its own, which measures itself. The rounds
are interleaved, so that what disturbs the machine disturbs all; the figures are medians over them. How each client is
used, and what it does for its figure, its file in `clients` says.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import save

BOTH = ("cache", "patch")
ALL = ("cache", "reconcile", "patch")
PATCHES = 1000
TIMEOUT_S = 600

Figures = dict[str, float]


@dataclass(frozen=True)
class Peer:
    """A client, and the workloads that it has."""

    name: str
    command: tuple[str, ...]
    workloads: tuple[str, ...] = ALL


ROWS = (
    ("list, into the cache", "cache list_us", "us"),
    ("list, and a first reconcile", "reconcile list_us", "us"),
    ("event, into the cache", "cache event_us", "us"),
    ("event, up to reconcile", "reconcile event_us", "us"),
    ("the same at 100 a second", "reconcile paced_us", "us"),
    ("status patch", "patch patch_us", "us"),
    ("from sent to reconcile", "reconcile latency_ms", "ms"),
    ("99th percentile of it", "reconcile latency_p99_ms", "ms"),
    ("peak RSS, all in the cache", "cache list_rss_mb", "MB"),
    ("after the events", "cache event_rss_mb", "MB"),
    ("RSS before the first call", "cache start_rss_mb", "MB"),
    ("CPU to start", "cache start_s", "s"),
)


def peers(python: str, go: str) -> list[Peer]:
    module = "benchmarks.kubeloop.clients."
    return [
        Peer("kubeloop", (sys.executable, "-m", f"{module}kubeloop")),
        Peer("kopf", (python, "-m", f"{module}kopf"), ("reconcile", "patch")),
        Peer("lightkube", (python, "-m", f"{module}lightkube"), BOTH),
        Peer("kubernetes_asyncio", (python, "-m", f"{module}kubernetes_asyncio"), BOTH),
        Peer("controller-runtime", (go, "--content-type=application/json")),
        Peer("c.-r., protobuf", (go, "--content-type=")),
    ]


def measure(found: list[Peer], *, rounds: int, objects: int) -> dict[str, Figures]:
    """The medians, by client; a figure is named by its workload and what the client calls it."""
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    serving = [sys.executable, "-m", "benchmarks.kubeloop.server", "--pods", str(objects)]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            for number in range(1, rounds + 1):
                for peer in found:
                    for workload in peer.workloads:
                        print(f"round {number}: {peer.name}, {workload}", file=sys.stderr, flush=True)
                        for name, value in run(peer, workload, url, objects).items():
                            taken[peer.name][f"{workload} {name}"].append(value)
        finally:
            server.kill()
    return {peer: _medians(figures) for peer, figures in taken.items()}


def _medians(figures: dict[str, list[float]]) -> Figures:
    medians = {name: statistics.median(values) for name, values in figures.items()}
    if not any(name.startswith("cache ") for name in medians):  # kopf has one path for both
        medians |= {name.replace("reconcile ", "cache "): value for name, value in medians.items()}
    return medians


def run(peer: Peer, workload: str, url: str, objects: int) -> Figures:
    """One process of a client."""
    sizes = ["--pods", str(objects), "--events", str(objects), "--patches", str(min(objects, PATCHES))]
    done = subprocess.run(
        [*peer.command, "--server", url, "--workload", workload, *sizes],
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_S,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    figures: Figures = json.loads(done.stdout)
    return figures


def table(figures: dict[str, Figures]) -> str:
    """One column a client."""
    lines = [f"{'':30}" + "".join(f"{peer:>20}" for peer in figures)]
    for title, name, unit in ROWS:
        cells = (f"{of[name]:>17.2f} {unit}" if name in of else f"{'-':>20}" for of in figures.values())
        lines.append(f"{title:30}" + "".join(cells))
    return "\n".join(lines)


def layers() -> Figures:
    """Of kubeloop's CPU for an event up to reconcile, what its layers above the transport use."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kubeloop.layers"], stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True
    )
    figures: Figures = json.loads(done.stdout)
    return figures


def asked(figures: dict[str, Figures]) -> list[tuple[str, bool, bool]]:
    """What kubeloop is to reach, whether it does, and whether it must."""
    ours, kopf, go = (figures[name] for name in ("kubeloop", "kopf", "controller-runtime"))
    said = []
    for title, name, _ in ROWS[:4]:
        ratio = kopf[name] / ours[name]
        said.append((f"{title}: kopf uses {ratio:.1f} times our CPU, at least 20", ratio >= 20, True))
    for title, name, most in (
        ("us of CPU per pod listed", "cache list_us", 30),
        ("us of CPU per event up to reconcile", "reconcile event_us", 25),
        ("MB peak RSS with all listed", "cache list_rss_mb", 80),
    ):
        said.append((f"{ours[name]:.1f} {title}, at most {most}", ours[name] <= most, False))
    for title, name, unit in ROWS:
        if unit == "us":
            ratio = ours[name] / go[name]
            said.append((f"{title}: {ratio:.2f} times controller-runtime's CPU, at most 2", ratio <= 2, False))
    return said


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", required=True, help="the Python of the venv with the other clients")
    parser.add_argument("--go", required=True, help="the program on controller-runtime")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--only", default="", help="some clients, with commas between")
    options = parser.parse_args()
    found = peers(options.peers, str(Path(options.go).resolve()))
    chosen = [peer for peer in found if not options.only or peer.name in options.only.split(",")]
    figures = measure(chosen, rounds=options.rounds, objects=options.objects)
    print(f"CPU (user and system) per item, medians of {options.rounds} rounds, {options.objects} pods\n")
    print(table(figures))
    if chosen == found:
        parts = layers()
        parts["HTTP, event loop and kernel"] = figures["kubeloop"]["reconcile event_us"] - sum(parts.values())
        save("kubeloop", {"objects": options.objects, "rounds": options.rounds, "figures": figures, "layers": parts})
        print("\nOf kubeloop's CPU for an event up to reconcile:")
        print("\n".join(f"{name:30}{used:17.2f} us" for name, used in parts.items()) + "\n")
        said = asked(figures)
        print("\n".join(f"{'reached' if met else 'MISSED':8} {what}" for what, met, _ in said))
        sys.exit(any(must and not met for _, met, must in said))


if __name__ == "__main__":
    main()
