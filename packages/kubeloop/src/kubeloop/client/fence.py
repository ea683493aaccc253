"""The fence: who may still write. The transport asks right before it hands the bytes of a write to the kernel."""

from typing import Protocol


class Fence(Protocol):
    """Leader election implements it; so may a shard's lease."""

    def check(self) -> None:
        """Raises `NotLeader` once this process may not start another write."""
        ...
