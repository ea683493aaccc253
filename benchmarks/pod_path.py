"""What one pod costs, add and delete, measured on the lab: API calls counted at the servers, CPU of the controller,
wiring time of ADD.

The peer's counts are those of kuryr-kubernetes 10.0.0 without pools, measured by running its controller against
request-counting fakes: 15 to 19 Kubernetes and 3 to 4 Neutron calls per pod add, 8 and 1 per delete; 33 to 68 ms of
controller CPU per pod. The lower figures are taken.
"""

import json
import os
import re
import statistics
from collections import Counter
from pathlib import Path

from benchmarks.figures import save
from kuryr.lab.demo import eventually, leftovers
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kuryr_processes import daemon_name
from kuryr.lab.lab import Lab
from kuryr.lab.layout import POD_IMAGE, Layout

PODS = 20
PEER = {"kubernetes calls per pod": 15 + 8, "neutron calls per pod": 3 + 1, "controller CPU per pod": 33.0}


def main() -> None:
    lab = Lab(Layout.of(os.environ))
    was_up = bool(lab.processes.all())
    lab.up()
    try:
        figures = measure(lab)
    finally:
        if not was_up:
            lab.down()
    save("pod path", figures)
    for name, figure in figures.items():
        peer = f"   kuryr-kubernetes {figure['peer']:g}, ratio {figure['ratio']:.1f}" if "peer" in figure else ""
        print(f"{name:55s} {figure['value']:8.2f} {figure['unit']}{peer}")


def measure(lab: Lab) -> dict[str, dict[str, float | str]]:
    audit, neutron = lab.layout.kubernetes / "audit.log", lab.layout.state / "logs/neutron.log"
    logs = [lab.layout.state / f"logs/{daemon_name(node)}.log" for node in lab.layout.nodes]
    starts = {path: path.stat().st_size for path in (audit, neutron, *logs)}
    cpu = _cpu_s(lab)
    _churn(lab)
    cpu = _cpu_s(lab) - cpu
    calls: Counter[str] = Counter()
    for line in _since(audit, starts[audit]):
        event = json.loads(line)
        agent = event["userAgent"].partition("/")[0]
        if agent.startswith("kuryr-"):
            resource = event["objectRef"]["resource"] + ("/status" if event["objectRef"].get("subresource") else "")
            calls[f"{agent} {event['verb']} {resource}"] += 1
    for line in _since(neutron, starts[neutron]):
        if "kuryr-controller" in line:
            method, path = line.split()[:2]
            calls[f"neutron {method} {re.sub(r'/[0-9a-f-]{36}', '/ID', path.partition('?')[0])}"] += 1
    lines = [line for path in logs for line in _since(path, starts[path])]
    wired = [float(found) for line in lines for found in re.findall(r"wired_ms=(\d+)", line)]
    figures = {f"{name} per pod": _figure(count / PODS, "calls") for name, count in sorted(calls.items())}
    kubernetes = sum(count for name, count in calls.items() if not name.startswith("neutron"))
    figures["kubernetes calls per pod"] = _figure(kubernetes / PODS, "calls", PEER["kubernetes calls per pod"])
    figures["neutron calls per pod"] = _figure(
        (calls.total() - kubernetes) / PODS, "calls", PEER["neutron calls per pod"]
    )
    figures["controller CPU per pod"] = _figure(cpu * 1000 / PODS, "ms", PEER["controller CPU per pod"])
    figures["median wiring time of ADD"] = _figure(statistics.median(wired), "ms")
    return figures


def _churn(lab: Lab) -> None:
    names = [f"bench-{number}" for number in range(PODS)]
    container = {"name": "main", "image": POD_IMAGE, "imagePullPolicy": "Never", "command": ["/agnhost", "pause"]}
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
        }
        for name in names
    ]
    kubectl(lab.layout, "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    ready = ["wait", "--for=condition=Ready", "--timeout=120s", *(f"pod/{name}" for name in names)]
    kubectl(lab.layout, *ready, timeout_s=130)
    kubectl(lab.layout, "delete", "pods", "--all", "--now", "--wait=false")
    eventually(lambda: not leftovers(lab), timeout_s=120, what=lambda: f"left over: {leftovers(lab)}")


def _cpu_s(lab: Lab) -> float:
    record = lab.processes.record(lab.kuryr.leader())
    assert record is not None, "a controller leads"
    fields = Path(f"/proc/{record.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _since(path: Path, start: int) -> list[str]:
    with path.open() as log:
        log.seek(start)
        return log.readlines()


def _figure(value: float, unit: str, peer: float | None = None) -> dict[str, float | str]:
    figure: dict[str, float | str] = {"value": round(value, 3), "unit": unit}
    if peer is not None:
        figure.update(peer=peer, ratio=round(peer / value, 2) if value else 0.0)
    return figure


if __name__ == "__main__":
    main()
