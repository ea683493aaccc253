"""One program of the control plane: started, signalled and reaped by pid.

No orphans: the kernel kills it when we die, however that happens (`setpriv --pdeathsig`, util-linux). The kernel ties
this to the thread that started it, so start it in the main thread, or in one that lives as long as the program shall.
Where there is no `setpriv` (not Linux) only an orderly exit of ours ends it.
"""

import asyncio
import atexit
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path


class StartFailed(Exception):
    """A program ended, or was not ready in time. The message holds the end of its log."""


class Program:
    """A running program; its output is appended to `log`."""

    def __init__(
        self, argv: Sequence[object], *, log: Path, netns: str = "", environ: Mapping[str, str] | None = None
    ) -> None:
        """Starts it, in the network namespace `netns` of `ip netns` if one is named."""
        self.log = log
        self.name = Path(str(argv[0])).name
        inside = ["nsenter", f"--net=/run/netns/{netns}", "--"] if netns else []
        bound = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [*inside, *bound, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,
                env=None if environ is None else dict(environ),
                start_new_session=True,  # a ^C in the terminal is ours to handle
            )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; nothing when it has ended. The pid cannot be another's: until we reap it, it is kept."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """Ends it at once, also while it is stopped, and reaps it."""
        self._child.kill()
        self._child.wait()
        atexit.unregister(self.kill)

    async def wait_ready(self, ready: Callable[[], Awaitable[bool]], *, timeout_s: float) -> None:
        """Asks until `ready`. Raises `StartFailed` when the program ends or time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await ready():
                    if not self.alive:
                        raise StartFailed(f"{self.name} ended with {self._child.returncode}\n{self.tail()}")
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise StartFailed(f"{self.name} is not ready after {timeout_s:.0f} s\n{self.tail()}") from error

    def tail(self, lines: int = 15) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
