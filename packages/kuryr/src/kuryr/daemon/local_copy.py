"""The node's own copy of its KuryrPorts, in a file: with the API server away, ADD goes on also after the daemon was
started again.

Invariants: a claim whose receipt was given is in no copy, for its file is written before the receipt; so an ADD by the
copy never wires a port that may be somebody else's by now. Claims that are being deleted are not in it. Once the
informer has its first list the copy is not read any more: what the informer knows is newer. A forgotten claim never
comes back into it, although the informer may be behind and still show it as living.

A claim may be missing from it, if the daemon was killed within a moment after it came: then its ADD waits for the API
server.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Protocol

import msgspec

from kubeloop import Change, Informer, ObjectKey
from kuryr.daemon.shield import finish
from kuryr.model.resources import KuryrPort

log = logging.getLogger(__name__)

_REST_S = 0.5


class CopyFile(Protocol):
    """Where the copy is kept: the seam that a simulated node replaces."""

    async def read(self) -> bytes | None:
        """What was last written; None when nothing ever was. Raises OSError."""
        ...

    async def write(self, content: bytes) -> None:
        """Whole or not at all, and it survives a crash of the machine when this returns. Raises OSError."""
        ...


class StateFile:
    """A file of a folder that is the daemon's own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    async def write(self, content: bytes) -> None:
        await asyncio.to_thread(self._write, content)

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """The file. Of another node's it is nothing."""

    node: str
    claims: tuple[KuryrPort, ...]


class LocalCopy:
    """Keeps the file equal to the live claims of the informer's store; `run` must be running for that."""

    def __init__(self, file: CopyFile, claims: Informer[KuryrPort], *, node: str) -> None:
        self._file = file
        self._claims = claims
        self._node = node
        self._read: dict[ObjectKey, KuryrPort] = {}
        self._written: frozenset[str] | None = None  # UIDs in the file; None: it may hold anything
        self._forgotten: set[str] = set()
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        claims.add_handler(self._note)

    async def load(self) -> None:
        """Reads the file. One that cannot be read is as good as none."""
        try:
            content = await self._file.read()
            if content is None:
                return
            read = msgspec.json.decode(content, type=_Content)
        except (OSError, ValueError, RecursionError) as error:  # msgspec.DecodeError is a ValueError
            log.warning("the local copy cannot be read: waiting for the API server: cause=%s", error)
            return
        if read.node == self._node:
            self._read = {claim.key: claim for claim in read.claims}
        log.info("local copy read: claims=%d", len(self._read))

    def find(self, key: ObjectKey) -> KuryrPort | None:
        """The claim in the copy, as long as nothing newer is known."""
        if self._claims.synced:
            self._read = {}
        return self._read.get(key)

    async def run(self) -> None:
        """Until cancelled."""
        await self._claims.wait_synced()
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(_REST_S)  # changes often come together
            try:
                await self._write()
            except OSError as error:
                log.warning("the local copy cannot be written: cause=%s", error)
                self._changed.set()

    async def forget(self, uid: str) -> None:
        """Returns when the file does not hold the claim of this UID, which is being deleted or gone. Raises OSError."""
        self._forgotten.add(uid)
        while self._written is None or uid in self._written:
            await self._write()

    def is_forgotten(self, uid: str) -> bool:
        """Its receipt is given, or about to be: nothing may be wired with it any more."""
        return uid in self._forgotten

    async def _write(self) -> None:
        async with self._writing:
            claims = [
                one
                for one in self._claims.store.list()
                if not one.metadata.deleting and one.metadata.uid not in self._forgotten
            ]
            uids = frozenset(one.metadata.uid for one in claims)
            if uids == self._written:
                return
            bare = (msgspec.structs.replace(one, status=type(one.status)()) for one in claims)
            content = msgspec.json.encode(_Content(node=self._node, claims=tuple(bare)))
            self._written = None
            # to its end: a thread that writes goes on when its caller is cancelled, and would meet the next write
            await finish(self._file.write(content))
            self._written = uids

    def _note(self, change: Change[KuryrPort]) -> None:
        if change.old is not None and (change.new is None or change.new.metadata.uid != change.old.metadata.uid):
            self._forgotten.discard(change.old.metadata.uid)
        before = change.old is not None and not change.old.metadata.deleting
        after = change.new is not None and not change.new.metadata.deleting
        if before != after or (before and change.old and change.old.metadata.uid != change.object.metadata.uid):
            self._changed.set()
