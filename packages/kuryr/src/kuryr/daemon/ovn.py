"""How ovn-controller on this node is, asked of itself: its control socket, as `ovn-appctl connection-status` does.

Nothing in the node's OVSDB tells it: all that ovn-controller writes there (ovn-nb-cfg on the bridge, ovn-installed on
interfaces) stays as it was when the process dies, and moves only when somebody changes something. The control socket
answers only while the process runs its main loop, and the answer says whether it is connected to the southbound
database. It needs the right to connect to a socket that has the same owner and mode as OVSDB's.

The protocol is JSON-RPC over a unix socket (unixctl in Open vSwitch's lib/unixctl.c); the command is documented in
ovn-controller(8). Asking changes nothing.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from kuryr.daemon.ovsdb.codec import JsonStream, OvsdbFormatError

_SOCKETS = "ovn-controller.*.ctl"  # ovn-controller.PID.ctl; a killed one leaves its socket behind
_READ_BYTES = 1 << 12


@dataclass(frozen=True, slots=True)
class OvnControllerStatus:
    """`connected` to the southbound database; None: it cannot be told. `reason` is one CamelCase word."""

    connected: bool | None
    reason: str
    message: str = ""


class OvnController:
    """The ovn-controller whose run folder is `run_dir`."""

    def __init__(self, run_dir: Path, *, timeout_s: float = 5.0) -> None:
        self._run_dir = run_dir
        self._timeout_s = timeout_s

    async def fetch_status(self) -> OvnControllerStatus:
        """Never raises; takes at most `timeout_s` for each socket in the folder."""
        sockets = self._sockets()
        if sockets is None:
            return OvnControllerStatus(None, "NotVisible", f"{self._run_dir} is not there: set daemon.ovn_run_dir")
        found = OvnControllerStatus(False, "NotRunning", f"no ovn-controller listens in {self._run_dir}")
        for path in sockets:
            status = await self._ask(path)
            if status is not None and status.connected:
                return status
            found = status or found
        return found

    def _sockets(self) -> list[Path] | None:
        return sorted(self._run_dir.glob(_SOCKETS)) if self._run_dir.is_dir() else None

    async def _ask(self, path: Path) -> OvnControllerStatus | None:
        """None when nobody listens any more."""
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await _call(path, "connection-status")
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except TimeoutError:
            message = f"ovn-controller does not answer at {path} within {self._timeout_s:g} s"
            return OvnControllerStatus(False, "NoAnswer", message)
        except (OSError, OvsdbFormatError) as error:
            return OvnControllerStatus(None, "NotVisible", f"cannot ask ovn-controller at {path}: {error}")
        if answer == "connected":
            return OvnControllerStatus(True, "Connected")
        return OvnControllerStatus(False, "Disconnected", f"ovn-controller is {answer}: is OVN's southbound reachable?")


async def _call(path: Path, command: str) -> str:
    """The answer to a command without arguments. Raises OSError, OvsdbFormatError."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(json.dumps({"id": 0, "method": command, "params": []}).encode())
        stream = JsonStream()
        while data := await reader.read(_READ_BYTES):
            for message in stream.feed(data):
                return str(message.get("result") or message.get("error")).strip()
    finally:
        writer.close()
    raise ConnectionResetError("it closed the connection instead of answering")
