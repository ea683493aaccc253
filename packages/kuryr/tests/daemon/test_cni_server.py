"""The daemon's socket and the plug-in: the real program, as a runtime calls it, over a real socket."""

# ruff: noqa: ASYNC240 - looking at a local file takes no time worth awaiting

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kuryr.daemon.cni.install import PLUGIN, Installation, ensure_installed
from kuryr.daemon.cni.protocol import CniCode, CniError, CniRequest
from kuryr.daemon.cni.results import Result, ResultInterface
from kuryr.daemon.cni.server import MAX_REQUEST_BYTES, CniServer, SocketInUse

from .conftest import missing
from .test_cni_protocol import ARGS, wire


@dataclass
class Handler:
    """Remembers what it was asked; ADD goes on while `hold` is set."""

    requests: list[CniRequest] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    fails: Exception | None = None
    hold: asyncio.Event | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def add(self, request: CniRequest) -> Result:
        self.requests.append(request)
        self.started.set()
        try:
            if self.hold:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.fails:
            raise self.fails
        return Result(interfaces=(ResultInterface(name=request.ifname, sandbox=request.netns),))

    async def delete(self, request: CniRequest) -> None:
        self._done("delete", request)

    async def check(self, request: CniRequest) -> None:
        self._done("check", request)

    async def collect(self, request: CniRequest) -> None:
        self._done("collect", request)

    async def status(self, request: CniRequest) -> None:
        self._done("status", request)

    def _done(self, called: str, request: CniRequest) -> None:
        self.called.append(called)
        self.requests.append(request)
        if self.fails:
            raise self.fails


@asynccontextmanager
async def serving(path: Path, handler: Handler) -> AsyncIterator[CniServer]:
    server = CniServer(path, handler)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run())
        try:
            async with asyncio.timeout(5):
                await server.wait_listening()
            yield server
        finally:
            running.cancel()


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "run" / "cni.sock"


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
async def server(socket: Path, handler: Handler) -> AsyncIterator[CniServer]:
    async with serving(socket, handler) as server:
        yield server


async def ask(path: Path, request: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer
    finally:
        writer.close()


class TestServer:
    async def test_an_addition_gets_the_handlers_result(
        self, server: CniServer, socket: Path, handler: Handler
    ) -> None:
        answer = await ask(socket, wire() + b"\n")
        assert answer == {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/c0"}]}
        assert handler.requests[0].pod.uid == "uid-1"

    async def test_a_typed_failure_reaches_the_runtime(self, server: CniServer, socket: Path, handler: Handler) -> None:
        handler.fails = CniError(CniCode.TRY_AGAIN_LATER, "no claim yet", "see the pod's events")
        answer = await ask(socket, wire() + b"\n")
        assert (answer["code"], answer["msg"]) == (11, "no claim yet")

    async def test_an_unforeseen_failure_is_an_internal_error(
        self, server: CniServer, socket: Path, handler: Handler
    ) -> None:
        handler.fails = RuntimeError("boom")
        answer = await ask(socket, wire() + b"\n")
        assert answer["code"] == CniCode.INTERNAL
        handler.fails = None
        assert "code" not in await ask(socket, wire() + b"\n")

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"hello\n", CniCode.DECODE_FAILURE),
            (b"\xff\xfe\n", CniCode.DECODE_FAILURE),
            (b"x" * (MAX_REQUEST_BYTES + 100_000), CniCode.IO_FAILURE),
        ],
    )
    async def test_garbage_gets_an_error_and_the_server_lives_on(
        self, server: CniServer, socket: Path, data: bytes, code: CniCode
    ) -> None:
        assert (await ask(socket, data))["code"] == code
        assert "code" not in await ask(socket, wire() + b"\n")

    async def test_half_a_request_is_answered_when_no_more_comes(self, server: CniServer, socket: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(wire()[:40])
        writer.write_eof()
        async with asyncio.timeout(5):
            assert json.loads(await reader.readline())["code"] == CniCode.IO_FAILURE
        writer.close()
        assert "code" not in await ask(socket, wire() + b"\n")

    async def test_a_request_in_small_pieces_is_understood(self, server: CniServer, socket: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        for byte in wire() + b"\n":
            writer.write(bytes([byte]))
            await writer.drain()
        async with asyncio.timeout(5):
            assert "code" not in json.loads(await reader.readline())
        writer.close()

    async def test_a_thousand_bad_requests_at_once_leave_it_answering(self, server: CniServer, socket: Path) -> None:
        chance = random.Random(7)
        bad = [chance.randbytes(chance.randrange(200)).replace(b"\n", b"") + b"\n" for _ in range(1000)]
        for some in (bad[first : first + 100] for first in range(0, 1000, 100)):
            answers = await asyncio.gather(*(ask(socket, one) for one in some))
            assert {answer["code"] for answer in answers} == {CniCode.DECODE_FAILURE}
        assert "code" not in await ask(socket, wire() + b"\n")

    @pytest.mark.parametrize(
        ("command", "config", "expected"),
        [
            ("CHECK", {"cniVersion": "1.1.0", "prevResult": {}}, "check"),
            ("GC", {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}, "collect"),
            ("STATUS", {"cniVersion": "1.1.0"}, "status"),
        ],
    )
    async def test_each_command_reaches_its_own_method_and_has_no_result(
        self, server: CniServer, socket: Path, handler: Handler, command: str, config: dict[str, Any], expected: str
    ) -> None:
        assert await ask(socket, wire(command=command, config=config) + b"\n") == {}
        assert handler.called == [expected]

    async def test_a_previous_result_is_passed_on(self, server: CniServer, socket: Path) -> None:
        previous = {"cniVersion": "1.1.0", "interfaces": [{"name": "before0"}]}
        answer = await ask(socket, wire(config={"cniVersion": "1.1.0", "prevResult": previous}) + b"\n")
        assert [one["name"] for one in answer["interfaces"]] == ["before0", "eth0"]

    async def test_a_previous_result_that_is_none_is_a_cni_error(self, server: CniServer, socket: Path) -> None:
        config = {"cniVersion": "1.1.0", "prevResult": {"interfaces": 3}}
        assert (await ask(socket, wire(config=config) + b"\n"))["code"] == CniCode.DECODE_FAILURE

    async def test_a_peer_that_says_nothing_and_goes_is_no_trouble(self, server: CniServer, socket: Path) -> None:
        _reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.close()
        assert "code" not in await ask(socket, wire() + b"\n")

    async def test_a_command_ends_when_the_plug_in_goes_away(
        self, server: CniServer, socket: Path, handler: Handler
    ) -> None:
        handler.hold = asyncio.Event()
        _reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(wire() + b"\n")
        async with asyncio.timeout(5):
            await handler.started.wait()
            writer.close()
            await handler.cancelled.wait()

    async def test_a_stop_cancels_commands_under_way(self, socket: Path, handler: Handler) -> None:
        handler.hold = asyncio.Event()
        async with serving(socket, handler):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            writer.write(wire() + b"\n")
            await handler.started.wait()
        assert handler.cancelled.is_set()
        assert await reader.read() == b""
        writer.close()
        assert not socket.exists()

    async def test_only_root_can_open_the_socket(self, server: CniServer, socket: Path) -> None:
        assert socket.stat().st_mode & 0o777 == 0o600
        assert socket.parent.stat().st_mode & 0o777 == 0o700

    async def test_a_second_daemon_is_refused_and_the_first_goes_on(
        self, server: CniServer, socket: Path, handler: Handler
    ) -> None:
        with pytest.raises(SocketInUse, match="stop it first"):
            await CniServer(socket, handler).run()
        assert "code" not in await ask(socket, wire() + b"\n")

    async def test_the_socket_of_a_killed_daemon_is_taken_over(self, socket: Path, handler: Handler) -> None:
        socket.parent.mkdir()
        socket.touch()
        async with serving(socket, handler):
            assert "code" not in await ask(socket, wire() + b"\n")


@dataclass(frozen=True)
class Called:
    exit_code: int
    answer: dict[str, Any]


Call = Callable[..., Any]


@pytest.fixture
def call(tmp_path: Path, socket: Path) -> Call:
    """Runs the installed plug-in as a runtime does."""
    installation = Installation(
        plugin_dir=tmp_path / "bin", config_dir=tmp_path / "net.d", socket=socket, interpreter=sys.executable
    )
    ensure_installed(installation)

    async def start(command: str, text: str | None = None, **environment: str) -> asyncio.subprocess.Process:
        config = {"cniVersion": "1.0.0", "name": "kuryr", "type": PLUGIN, "socket": str(socket)}
        process = await asyncio.create_subprocess_exec(
            str(tmp_path / "bin" / PLUGIN),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": "c0",
                "CNI_NETNS": "/run/netns/c0",
                "CNI_IFNAME": "eth0",
                "CNI_ARGS": ARGS,
                "CNI_PATH": "/opt/cni/bin",
                **environment,
            },
        )
        assert process.stdin is not None
        process.stdin.write((json.dumps(config) if text is None else text).encode())
        process.stdin.close()
        return process

    return start


async def outcome(starting: Any) -> Called:
    process = await starting
    async with asyncio.timeout(10):
        output, _ = await process.communicate()
    return Called(process.returncode, json.loads(output) if output else {})


class TestPlugin:
    async def test_an_addition_prints_the_result(self, server: CniServer, call: Call) -> None:
        called = await outcome(call("ADD"))
        assert called == Called(
            0, {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/c0"}]}
        )

    async def test_a_deletion_prints_nothing(self, server: CniServer, call: Call, handler: Handler) -> None:
        assert await outcome(call("DEL", CNI_NETNS="", CNI_ARGS="")) == Called(0, {})
        assert handler.requests[0].container_id == "c0"

    async def test_the_daemons_error_is_printed_with_exit_code_1(
        self, server: CniServer, call: Call, handler: Handler
    ) -> None:
        handler.fails = CniError(CniCode.TRY_AGAIN_LATER, "no claim yet")
        called = await outcome(call("ADD"))
        assert (called.exit_code, called.answer["code"]) == (1, 11)

    async def test_a_killed_plug_in_ends_its_command(self, server: CniServer, call: Call, handler: Handler) -> None:
        handler.hold = asyncio.Event()
        process = await call("ADD")
        async with asyncio.timeout(10):
            await handler.started.wait()
            process.kill()
            await handler.cancelled.wait()
            await process.wait()

    async def test_without_the_daemon_the_runtime_is_told_to_come_again_and_that_the_network_is_away(
        self, call: Call
    ) -> None:
        codes = {"ADD": 11, "DEL": 11, "CHECK": 11, "GC": 11, "STATUS": 50}
        calls = await asyncio.gather(*(outcome(call(command)) for command in codes))
        assert [called.answer["code"] for called in calls] == list(codes.values())
        assert all(called.exit_code == 1 for called in calls)
        assert all("see whether it is running" in called.answer["msg"] for called in calls)

    async def test_a_daemon_that_is_started_again_in_time_is_waited_for(
        self, call: Call, socket: Path, handler: Handler
    ) -> None:
        starting = asyncio.ensure_future(outcome(call("ADD")))
        await asyncio.sleep(0.5)
        async with serving(socket, handler):
            assert (await starting).exit_code == 0

    async def test_a_daemon_that_stops_under_way_makes_the_runtime_come_again(
        self, call: Call, socket: Path, handler: Handler
    ) -> None:
        handler.hold = asyncio.Event()
        async with serving(socket, handler):
            process = await call("ADD")
            async with asyncio.timeout(10):
                await handler.started.wait()
        output, _ = await process.communicate()
        assert process.returncode == 1
        assert json.loads(output)["code"] == 11

    async def test_versions_are_answered_without_the_daemon(self, call: Call) -> None:
        for text in ("", '{"cniVersion": "1.0.0"}'):
            called = await outcome(call("VERSION", text))
            assert called.exit_code == 0
            assert called.answer["supportedVersions"] == ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]

    async def test_an_old_configuration_version_is_refused_by_code_1(
        self, server: CniServer, call: Call, socket: Path
    ) -> None:
        called = await outcome(call("ADD", json.dumps({"cniVersion": "0.2.0", "socket": str(socket)})))
        assert (called.exit_code, called.answer["code"]) == (1, 1)

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", 6),
            ("[1]", 6),
            ("{}", 7),
            ('{"socket": "relative"}', 7),
            ('{"socket": 3}', 7),
            (r'{"socket": "/run/\u0000"}', 7),
        ],
    )
    async def test_a_wrong_configuration_is_refused(self, call: Call, text: str, code: int) -> None:
        called = await outcome(call("ADD", text))
        assert (called.exit_code, called.answer["code"]) == (1, code)

    async def test_standard_input_without_an_end_of_nesting_or_of_bytes_is_refused(
        self, server: CniServer, call: Call, socket: Path
    ) -> None:
        called = await outcome(call("ADD", "[" * 200_000))
        assert (called.exit_code, called.answer["code"]) == (1, 6)
        called = await outcome(call("ADD", json.dumps({"socket": str(socket), "x": "y" * (1 << 20)})))
        assert (called.exit_code, called.answer["code"]) == (1, 5)
        assert "longer than" in called.answer["msg"]

    async def test_an_environment_that_is_no_text_is_refused(self, server: CniServer, call: Call) -> None:
        called = await outcome(call("ADD", CNI_ARGS=os.fsdecode(b"K8S_POD_UID=\xff")))
        assert (called.exit_code, called.answer["code"]) == (1, 6)

    async def test_called_by_hand_it_says_who_calls_it(self, call: Call) -> None:
        called = await outcome(call(""))
        assert (called.exit_code, called.answer["code"]) == (1, 4)

    async def test_it_needs_nothing_but_the_standard_library(self, call: Call, tmp_path: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            "-c",
            f"import runpy, sys; runpy.run_path({str(tmp_path / 'bin' / PLUGIN)!r}); print(sorted(sys.modules))",
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert b"kuryr" not in output
        assert b"site-packages" not in output


async def test_another_user_is_refused_even_with_the_socket_open(handler: Handler) -> None:
    if os.geteuid() != 0:
        missing("becoming another user needs root")
    script = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "s.connect(sys.argv[1]); print(s.recv(4096).decode())\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run", "cni.sock")
        async with serving(path, handler):
            for opened in (path.parent.parent, path.parent, path):
                opened.chmod(0o777)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-IS", "-c", script, str(path), stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
    assert json.loads(output)["code"] == CniCode.FORBIDDEN
