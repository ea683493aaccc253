"""What is said of ovn-controller, with the real one and real databases."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kuryr.daemon.ovn import OvnController, OvnControllerStatus

from .conftest import OvsdbServer, OvsPrograms, missing, run


class Chassis:
    """An ovn-controller with a southbound database of its own, in a folder of its own."""

    def __init__(self, programs: OvsPrograms, folder: Path, ovsdb: OvsdbServer) -> None:
        self.folder = folder
        self._programs = programs
        self._ovsdb = ovsdb
        self._southbound = f"unix:{folder / 'sb.sock'}"
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self) -> None:
        schema = self._programs.schema.parent.parent / "ovn" / "ovn-sb.ovsschema"
        if not schema.exists():
            missing("OVN is not there: `kuryr lab up` fetches it")
        self.folder.mkdir()
        await asyncio.to_thread(run, self._programs("ovsdb-tool"), "create", self.folder / "sb.db", schema)
        server = ("ovsdb-server", str(self.folder / "sb.db"), f"--remote=p{self._southbound}")
        await self._start("southbound", *server, f"--unixctl={self.folder / 'sb.ctl'}")
        ids = {
            "system-id": "node1",
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": "127.0.0.1",
            "ovn-remote": self._southbound,
        }
        await self._ovsdb.vsctl("set", "Open_vSwitch", ".", *(f"external_ids:{key}={ids[key]}" for key in ids))
        await self._start("controller", "ovn-controller", self._ovsdb.remote)

    async def _start(self, name: str, program: str, *arguments: str) -> None:
        self.processes[name] = await asyncio.create_subprocess_exec(
            *(self._programs(program), *arguments, "-vconsole:off"),
            env={**os.environ, "OVN_RUNDIR": str(self.folder), "OVS_RUNDIR": str(self.folder)},
        )

    async def end(self, name: str, number: signal.Signals) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        await process.wait()


@pytest.fixture
async def chassis(ovs_programs: OvsPrograms, ovsdb_server: OvsdbServer, tmp_path: Path) -> AsyncIterator[Chassis]:
    one = Chassis(ovs_programs, tmp_path / "ovn", ovsdb_server)
    try:
        await one.start()
        yield one
    finally:
        for name in tuple(one.processes):
            await one.end(name, signal.SIGKILL)


async def until(reason: str, controller: OvnController) -> OvnControllerStatus:
    async with asyncio.timeout(15):
        while True:
            status = await controller.fetch_status()
            if status.reason == reason:
                return status
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
async def test_an_ovn_controller_that_ends_is_no_longer_connected(chassis: Chassis, number: signal.Signals) -> None:
    controller = OvnController(chassis.folder)
    assert await until("Connected", controller) == OvnControllerStatus(True, "Connected")
    await chassis.end("controller", number)
    status = await controller.fetch_status()
    assert (status.connected, status.reason) == (False, "NotRunning")


async def test_a_southbound_database_that_goes_away_is_told(chassis: Chassis) -> None:
    controller = OvnController(chassis.folder)
    await until("Connected", controller)
    await chassis.end("southbound", signal.SIGKILL)
    assert (await until("Disconnected", controller)).connected is False


async def test_an_ovn_controller_that_hangs_is_told_in_time(chassis: Chassis) -> None:
    controller = OvnController(chassis.folder, timeout_s=0.5)
    await until("Connected", controller)
    chassis.processes["controller"].send_signal(signal.SIGSTOP)
    try:
        assert await controller.fetch_status() == await until("NoAnswer", controller)
    finally:
        chassis.processes["controller"].send_signal(signal.SIGCONT)


async def test_a_folder_that_is_not_there_says_nothing_of_ovn(tmp_path: Path) -> None:
    status = await OvnController(tmp_path / "elsewhere").fetch_status()
    assert (status.connected, status.reason) == (None, "NotVisible")
    assert "daemon.ovn_run_dir" in status.message


async def test_an_empty_folder_says_that_nobody_runs(tmp_path: Path) -> None:
    assert (await OvnController(tmp_path).fetch_status()).reason == "NotRunning"


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\n\r\n}", b""], ids=["another protocol", "nothing"])
async def test_a_stranger_at_the_socket_says_nothing_of_ovn(tmp_path: Path, said: bytes) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "ovn-controller.1.ctl"):
        status = await OvnController(tmp_path).fetch_status()
    assert (status.connected, status.reason) == (None, "NotVisible")
