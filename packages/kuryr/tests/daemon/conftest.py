"""Real parts for the daemon's tests: network namespaces of their own, an ovsdb-server, an ovs-vswitchd.

Where a part cannot be had the test is skipped with the reason; in CI (environment variable CI=true) that is a failure.
"""

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from kuryr.daemon.netlink.kernel import NetlinkKernel
from kuryr.daemon.netlink.netns import open_netns, visit
from kuryr.daemon.ovsdb.vswitch import OvsdbVswitch

# How long one example takes says nothing on a busy machine.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI nothing may be skipped: {reason}")
    pytest.skip(reason)


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def make_netns() -> Iterator[Callable[[], str]]:
    """Makes network namespaces; gives their paths, and removes what is left of them."""
    if os.geteuid() != 0:
        missing("making network namespaces needs root")
    numbers = itertools.count()
    names: list[str] = []

    def make() -> str:
        name = f"test-kuryr-{os.getpid()}-{next(numbers)}"  # not kuryr-*: those are the lab's, and go with it
        run("ip", "netns", "add", name)
        names.append(name)
        return f"/run/netns/{name}"

    yield make
    for name in names:
        if Path("/run/netns", name).exists():
            run("ip", "netns", "del", name)


@pytest.fixture
def host_netns(make_netns: Callable[[], str]) -> str:
    """The "host" of the test, so that nothing is made in the machine's own namespace."""
    return make_netns()


@pytest.fixture
def netlink_kernel(host_netns: str) -> Iterator[NetlinkKernel]:
    home_fd, host_fd = open_netns("/proc/self/ns/net"), open_netns(host_netns)
    try:
        # Made inside: its sockets and its idea of home stay there. This thread itself comes back.
        kernel = visit(host_fd, home_fd, NetlinkKernel)
    finally:
        os.close(host_fd)
        os.close(home_fd)
    with kernel:
        yield kernel


@dataclass(frozen=True)
class OvsPrograms:
    folder: Path
    schema: Path

    def __call__(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="session")
def ovs_programs() -> OvsPrograms:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    on_path = shutil.which("ovsdb-server")
    folders = [cache / "kuryr-lab" / "trixie" / "bin", *([Path(on_path).parent] if on_path else [])]
    for folder in folders:
        for share in (folder.parent / "usr" / "share", folder.parent / "share"):
            schema = share / "openvswitch" / "vswitch.ovsschema"
            if (folder / "ovsdb-server").exists() and schema.exists():
                return OvsPrograms(folder, schema)
    missing("Open vSwitch is not there: `kuryr lab up` fetches it")


class OvsdbServer:
    """A database of its own; can be killed and started again."""

    def __init__(self, programs: OvsPrograms, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.socket = folder / "db.sock"
        self.remote = f"unix:{self.socket}"
        self._process: asyncio.subprocess.Process | None = None
        run(programs("ovsdb-tool"), "create", folder / "conf.db", programs.schema)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            self.programs("ovsdb-server"),
            str(self.folder / "conf.db"),
            f"--remote=punix:{self.socket}",
            f"--unixctl={self.folder / 'ovsdb.ctl'}",
            f"--log-file={self.folder / 'ovsdb.log'}",
            "-vconsole:off",
        )
        async with asyncio.timeout(10):
            while True:
                try:
                    _reader, writer = await asyncio.open_unix_connection(str(self.socket))
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    return

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def vsctl(self, *arguments: str, wait: bool = False) -> str:
        command = [self.programs("ovs-vsctl"), f"--db={self.remote}", *([] if wait else ["--no-wait"]), *arguments]
        return (await asyncio.to_thread(run, *command)).strip()


@asynccontextmanager
async def started_ovsdb_server(programs: OvsPrograms, folder: Path) -> AsyncIterator[OvsdbServer]:
    server = OvsdbServer(programs, folder)
    await server.start()
    try:
        await server.vsctl("init", "--", "add-br", "br-int")
        await server.vsctl("set", "Open_vSwitch", ".", "external_ids:hostname=node1.example", "ovs_version=3.5.0")
        yield server
    finally:
        await server.kill()


@pytest.fixture
async def ovsdb_server(ovs_programs: OvsPrograms, tmp_path: Path) -> AsyncIterator[OvsdbServer]:
    async with started_ovsdb_server(ovs_programs, tmp_path) as server:
        yield server


@asynccontextmanager
async def connected(remote: str, *, timeout_s: float = 5.0) -> AsyncIterator[OvsdbVswitch]:
    async with running_vswitch(OvsdbVswitch(remote, timeout_s=timeout_s)) as vswitch:
        yield vswitch


@asynccontextmanager
async def running_vswitch(vswitch: OvsdbVswitch) -> AsyncIterator[OvsdbVswitch]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(vswitch.run())
        try:
            async with asyncio.timeout(10):
                await vswitch.wait_connected()
            yield vswitch
        finally:
            running.cancel()


@pytest.fixture
async def ovsdb_vswitch(ovsdb_server: OvsdbServer) -> AsyncIterator[OvsdbVswitch]:
    async with connected(ovsdb_server.remote) as vswitch:
        yield vswitch
