"""What every component of the lab is and how it does, by asking it: one that lives but does not answer is not well.

`components` is the table of questions; `look` asks all at once; `render` and `all_well` are pure.
"""

import importlib.metadata
import json
import socket
import ssl
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kubernetes_programs import said_version
from kuryr.lab.kuryr_processes import CONTROLLERS, Kuryr, controller_port, daemon_name
from kuryr.lab.layout import ETCD_PORT, KEYSTONE_PORT, KURYR_PORT, NEUTRON_PORT, LabError, Layout, NodeSpec
from kuryr.lab.processes import Processes, run

_TIMEOUT_S = 5.0
_QUICKLY = ("--request-timeout=5s",)
_CURL = ("curl", "-fsS", "--max-time", "5")


@dataclass(frozen=True, slots=True)
class Component:
    """`check` raises when the component does not answer as it must, else says what there is to say of it; without one,
    living is all that can be known.
    """

    name: str
    version: Callable[[], str]
    check: Callable[[], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `kuryr lab status`. `pid` is 0 when it was never started; `problem` is empty when all is well."""

    name: str
    pid: int
    alive: bool
    version: str
    problem: str
    restarts: int
    log: str
    last_lines: str = ""
    remark: str = ""

    @property
    def well(self) -> bool:
        return self.alive and not self.problem

    @property
    def state(self) -> str:
        if not self.alive:
            return "DEAD" if self.pid else "NOT STARTED"
        return "FAILING" if self.problem else "well"


def all_well(findings: Sequence[Finding]) -> bool:
    """False also when there is nothing."""
    return bool(findings) and all(finding.well for finding in findings)


def render(findings: Sequence[Finding]) -> list[str]:
    """Lines for a person; below a component that is not well, what is the matter and the end of its log."""
    lines = []
    for one in findings:
        restarts = f" restarted {one.restarts}x" if one.restarts else ""
        remark = f" {one.remark}" if one.remark else ""
        start = f"{one.name:24s} {one.state:12s} pid {one.pid or '-':<7} {one.version:10s} {one.log}"
        lines.append(f"{start}{restarts}{remark}")
        if not one.well:
            lines += [f"    {line}" for line in (*one.problem.splitlines(), *one.last_lines.splitlines())]
    return lines


def look(components: Sequence[Component], processes: Processes) -> list[Finding]:
    """All components, and processes of the lab that are not in the table."""
    known = {component.name for component in components}
    others = [Component(record.name, str) for record in processes.all() if record.name not in known]
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(lambda component: _examine(component, processes), [*components, *others]))


def _examine(component: Component, processes: Processes) -> Finding:
    name = component.name
    record = processes.record(name)
    alive = record is not None and record.alive
    problem, remark = "", None
    if alive and component.check:
        try:
            remark = component.check()
        except (LabError, OSError, ValueError, LookupError) as error:
            problem = str(error) or type(error).__name__
    return Finding(
        name=name,
        pid=record.pid if record else 0,
        alive=alive,
        version=component.version() or "-",
        problem=problem,
        restarts=processes.restarts(name),
        log=record.log if record else "-",
        last_lines="" if alive and not problem else processes.tail(name),
        remark=remark or "",
    )


def components(layout: Layout, processes: Processes, kuryr: Kuryr) -> list[Component]:
    """Every component that the lab starts, in the order of what needs what."""
    rows = [*_central(layout), *_openstack(layout), *_control_plane(layout)]
    for node in layout.nodes:
        rows += _node(layout, processes, node)

    return [*rows, *(_controller(name, kuryr) for name in CONTROLLERS)]


def _controller(name: str, kuryr: Kuryr) -> Component:
    def check() -> str | None:
        _get(f"http://127.0.0.1:{controller_port(name)}/readyz")
        if kuryr.leader() != name:
            return None
        _need(kuryr.ready(), "not every node is Ready and has its pool")
        return "leads"

    return Component(name, _kuryr_version, check)


def _central(layout: Layout) -> list[Component]:
    tools = layout.ovs_bin

    def database(tool: str, remote: str, table: str) -> Callable[[], None]:
        argv = [tools / tool, "--no-leader-only", "--timeout=5", f"--db={remote}", "get", table, ".", "nb_cfg"]
        return lambda: _need(run(argv).strip().isdigit(), f"{table} has no nb_cfg")

    def northd() -> None:
        answer = run([tools / "ovn-appctl", "-t", layout.state / "central/northd.ctl", "status"])
        _need("active" in answer, answer)

    server = _version_of(tools / "ovsdb-server")
    return [
        Component("ovn-nb", server, database("ovn-nbctl", layout.northbound, "NB_Global")),
        Component("ovn-sb", server, database("ovn-sbctl", layout.southbound, "SB_Global")),
        Component("ovn-northd", _version_of(tools / "ovn-northd"), northd),
    ]


def _openstack(layout: Layout) -> list[Component]:
    socket_path = layout.state / "mysql/s.sock"

    def mariadb() -> None:
        run(["mariadb-admin", "--no-defaults", "-S", socket_path, "ping"], timeout_s=_TIMEOUT_S)

    def version(distribution: str) -> Callable[[], str]:
        found = layout.openstack_venv.glob(f"lib/python*/site-packages/{distribution}-*.dist-info")
        return lambda: next((path.name.split("-")[1].removesuffix(".dist") for path in found), "")

    neutron = version("neutron")()
    return [
        Component("mariadb", _version_of(Path("mariadbd")), mariadb),
        Component("keystone", version("keystone"), _answers(f"http://127.0.0.1:{KEYSTONE_PORT}/v3")),
        Component("neutron", lambda: neutron, _answers(f"http://127.0.0.1:{NEUTRON_PORT}/healthcheck")),
        Component("neutron-ovn-maintenance", lambda: neutron),  # has no end point
    ]


def _control_plane(layout: Layout) -> list[Component]:
    def program(name: str, check: Callable[[], None]) -> Component:
        return Component(name, _version_of(layout.kube_bin / name), check)

    def etcd() -> None:
        health = json.loads(_get(f"http://127.0.0.1:{ETCD_PORT}/health"))
        _need(health.get("health") == "true", f"/health: {health}")

    def api_server() -> None:
        _need(kubectl(layout, *_QUICKLY, "get", "--raw=/readyz").startswith("ok"), "/readyz is not ok")

    return [
        program("etcd", etcd),
        program("kube-apiserver", api_server),
        program("kube-scheduler", lambda: _get_ok("https://127.0.0.1:10259/healthz")),
        program("kube-controller-manager", lambda: _get_ok("https://127.0.0.1:10257/healthz")),
    ]


def _node(layout: Layout, processes: Processes, node: NodeSpec) -> list[Component]:
    tools, kube, home = layout.ovs_bin, layout.kube_bin, layout.node_state(node)
    folder = layout.ovsdb(node).parent

    def ovsdb() -> None:
        run(
            [tools / "ovs-vsctl", "--timeout=5", f"--db=unix:{layout.ovsdb(node)}", "get", "Open_vSwitch", ".", "_uuid"]
        )

    def controller() -> None:
        record = processes.record(f"{node.name}-ovn-controller")
        control = folder / f"ovn-controller.{record.pid if record else 0}.ctl"
        answer = run([tools / "ovn-appctl", "-t", control, "connection-status"], timeout_s=_TIMEOUT_S)
        _need(answer.strip() == "connected", f"Southbound: {answer}")

    def containerd() -> None:
        answer = run([kube / "ctr", "--timeout=5s", "-a", home / "containerd.sock", "version"], timeout_s=10)
        _need("Revision" in answer.partition("Server:")[2], "the server does not say its version")

    def kubelet() -> None:
        _need(run([*_CURL, "http://127.0.0.1:10248/healthz"], netns=node.netns) == "ok", "/healthz is not ok")
        ready = '{.status.conditions[?(@.type=="Ready")].status}'
        _need(
            kubectl(layout, *_QUICKLY, "get", "node", node.name, "-o", f"jsonpath={ready}") == "True",
            "the node is not Ready",
        )

    def daemon() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(home / "kuryr/cni.sock"))
        run([*_CURL, f"http://127.0.0.1:{KURYR_PORT}/readyz"], netns=node.netns)

    vswitch = ["-t", folder / "vswitchd.ctl", "version"]
    return [
        Component(f"{node.name}-ovsdb", _version_of(tools / "ovsdb-server"), ovsdb),
        Component(
            f"{node.name}-vswitchd",
            _version_of(tools / "ovs-vswitchd"),
            lambda: _need(bool(run([tools / "ovs-appctl", "--timeout=5", *vswitch])), "no answer"),
        ),
        Component(f"{node.name}-ovn-controller", _version_of(tools / "ovn-controller"), controller),
        Component(f"{node.name}-containerd", _version_of(kube / "containerd"), containerd),
        Component(f"{node.name}-kubelet", _version_of(kube / "kubelet"), kubelet),
        Component(daemon_name(node), _kuryr_version, daemon),
    ]


def _version_of(program: Path) -> Callable[[], str]:
    return lambda: said_version(program)


def _kuryr_version() -> str:
    try:
        return importlib.metadata.version("kuryr")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _need(is_so: bool, problem: str) -> None:
    if not is_so:
        raise LabError(problem)


def _answers(url: str) -> Callable[[], None]:
    def check() -> None:
        _get(url)

    return check


def _get(url: str) -> str:
    """The body of a 2xx answer. Raises `OSError` for any other, and for none."""
    unverified = ssl._create_unverified_context()  # noqa: S323 - loopback; these serve certificates of their own making
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=unverified) as answer:  # noqa: S310 - the lab's own
        return str(answer.read(65536).decode(errors="replace"))


def _get_ok(url: str) -> None:
    _need(_get(url) == "ok", f"{url} is not ok")
