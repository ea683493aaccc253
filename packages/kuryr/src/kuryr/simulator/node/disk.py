"""The daemon's file on the machine's disk, which outlives the daemon and a restart of the machine."""

from dataclasses import dataclass

from kuryr.simulator.node.gate import Gate


@dataclass
class Disk:
    """What was written last; None when nothing ever was."""

    content: bytes | None = None


class SimulatedFile:
    """`CopyFile` as one incarnation of the daemon has it."""

    def __init__(self, disk: Disk, gate: Gate) -> None:
        self._disk = disk
        self._gate = gate

    async def read(self) -> bytes | None:
        return await self._gate("disk: read the copy", lambda: self._disk.content, changes=False)

    async def write(self, content: bytes) -> None:
        def act() -> None:
            self._disk.content = content

        await self._gate("disk: write the copy", act)
