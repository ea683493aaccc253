"""Commands and long-running processes of the lab.

A process is recorded by pid and kernel start time (pids wrap at 32768), leads a process group of its own, and carries
the lab's mark in its environment, which its children inherit: so `stop` also ends what a killed parent has left, `down`
finds everything, also what a crash left unrecorded, and neither signals a process that is not the lab's.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kuryr.lab.layout import LabError, Layout, environment

MARK = "KURYR_LAB_PROCESS"  # not the variable with which a user moves the lab: that is in the caller's shell


def run(
    argv: Sequence[object],
    *,
    netns: str = "",
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    check: bool = True,
    timeout_s: float = 60,
    cwd: Path | None = None,
) -> str:
    """Runs a command to its end and gives its output. Raises `LabError` with the output when it fails."""
    full = [*_inside(netns), *map(str, argv)]
    try:
        done = subprocess.run(
            full,
            env={**environment(), **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{full[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(full)}: not done after {timeout_s:.0f} s") from error
    if check and done.returncode:
        raise LabError(f"{' '.join(full)}: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-3000:]}")
    return done.stdout


def run_long(argv: list[str], log: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """A command of minutes: says every 15 s that it goes on, and shows the end of its log when it fails."""
    began = time.monotonic()
    with log.open("ab") as output:
        child = subprocess.Popen(argv, stdout=output, stderr=output, cwd=cwd, env={**os.environ, **(env or {})})
        code = None
        try:
            while code is None:
                try:
                    code = child.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    say(f"  ... {Path(argv[0]).name} {argv[1]} goes on ({time.monotonic() - began:.0f} s)")
        except BaseException:
            child.kill()
            raise
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise LabError(f"{' '.join(argv[:3])} failed, see {log}\n{tail}")


def say(text: str) -> None:
    """To the person who waits."""
    print(text, flush=True)


def _inside(netns: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{netns}"] if netns else []


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    pid: int
    started: int
    log: str

    @property
    def alive(self) -> bool:
        """False for one that had ended before it was recorded: then `started` is 0."""
        return self.started != 0 and start_time(self.pid) == self.started


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot (proc_pid_stat(5), field 22); 0 when there is none, or a
    zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def process_group(pid: int) -> int:
    """0 when there is no such process."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


class Processes:
    """The lab's processes, by name."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._records = layout.state / "processes"

    def start(
        self,
        name: str,
        argv: Sequence[object],
        *,
        netns: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Starts a process unless it runs already. Its log is `<state>/logs/<name>.log`."""
        if self.alive(name):
            return
        self.stop(name)  # a monitor's child may have outlived it
        log = self._layout.state / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._records.mkdir(parents=True, exist_ok=True)
        command = ["env", f"--chdir={self._layout.state}", *_inside(netns), *map(str, argv)]
        # spawned, not Popen: nobody here waits for a process that outlives us
        with log.open("ab") as output:
            pid = os.posix_spawn(
                "/usr/bin/env",
                command,
                {**environment(), **(env or {}), MARK: str(self._layout.state)},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
                ],
                setsid=True,
            )
        record = Record(name, pid, start_time(pid), str(log))
        (self._records / f"{name}.json").write_text(json.dumps(asdict(record)))

    def record(self, name: str) -> Record | None:
        try:
            return Record(**json.loads((self._records / f"{name}.json").read_text()))
        except (OSError, ValueError):
            return None

    def all(self) -> list[Record]:
        found = (self.record(path.stem) for path in sorted(self._records.glob("*.json")))
        return [record for record in found if record is not None]

    def alive(self, name: str) -> bool:
        record = self.record(name)
        return record is not None and record.alive

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to the recorded process, if it is still that one."""
        record = self.record(name)
        if record is not None and record.alive:
            os.kill(record.pid, number)

    def stop(self, *names: str, timeout_s: float = 10) -> None:
        """Asks all and their process groups to end, waits, then kills; the records go."""
        records = [record for name in names if (record := self.record(name)) is not None]
        if not records:
            return
        leaders = {record.pid for record in records}
        alive = {record.pid for record in records if record.alive}
        end_all(alive | {pid for pid in self.marked() if process_group(pid) in leaders}, timeout_s)
        for record in records:
            (self._records / f"{record.name}.json").unlink(missing_ok=True)

    def marked(self) -> list[int]:
        """Every process that carries the lab's mark, recorded or not."""
        mark = f"{MARK}={self._layout.state}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark in environ.split(b"\0"):
                found.append(int(entry.name))
        return found

    def restarts(self, name: str) -> int:
        """How often the monitor of ovs-vswitchd(8) has started it again, by its log."""
        record = self.record(name)
        try:
            text = Path(record.log).read_text(errors="replace") if record else ""
        except OSError:
            return 0
        return sum("daemon_unix(monitor)" in line and line.endswith("restarting") for line in text.splitlines())

    def wait(self, name: str, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Until `ready`; raises `LabError` with the end of the log when the process dies or time is up."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.alive(name):
                raise LabError(f"{name} ended\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise LabError(f"{name} is not ready after {timeout_s:.0f} s\n{self.tail(name)}")
            time.sleep(0.1)

    def tail(self, name: str, lines: int = 15) -> str:
        record = self.record(name)
        path = Path(record.log) if record else self._layout.state / "logs" / f"{name}.log"
        try:
            return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def end_all(pids: Iterable[int], timeout_s: float) -> None:
    """TERM, wait, KILL; a pid that another process took meanwhile is left alone."""
    known = {pid: started for pid in pids if (started := start_time(pid))}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, started in known.items():
            if start_time(pid) == started:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(start_time(pid) == started for pid, started in known.items()):
            for pid in known:
                _reap(pid)
            time.sleep(0.05)


def _reap(pid: int) -> None:
    """A child of ours stays a zombie until somebody asks for it; others' children are not ours to ask for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
