"""The file of claims: what it holds, when it is written, and what becomes of a bad one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from kubeloop import Client, Informer, ObjectKey
from kuryr.daemon.local_copy import LocalCopy, StateFile
from kuryr.model.resources import KuryrPort

from .fakes import FakeApi, MemoryFile
from .test_arbiter import claim

KEY = ObjectKey("d", "a")


def informer() -> Informer[KuryrPort]:
    return Informer(Client(FakeApi({})), KuryrPort)


def in_file(file: MemoryFile) -> set[str]:
    content = msgspec.json.decode(file.writes[-1])
    return {one["metadata"]["uid"] for one in content["claims"]}


@asynccontextmanager
async def kept(file: MemoryFile, claims: Informer[KuryrPort]) -> AsyncIterator[LocalCopy]:
    copy = LocalCopy(file, claims, node="n1")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(copy.run())
        yield copy
        running.cancel()


async def until_written(file: MemoryFile, times: int) -> None:
    async with asyncio.timeout(10):
        while len(file.writes) < times:  # noqa: ASYNC110 - the file announces nothing
            await asyncio.sleep(0.01)


async def reloaded(file: MemoryFile, node: str = "n1") -> tuple[LocalCopy, Informer[KuryrPort]]:
    claims = informer()
    copy = LocalCopy(file, claims, node=node)
    await copy.load()
    return copy, claims


async def test_claims_are_found_in_the_file_until_the_informer_knows_better() -> None:
    file, claims = MemoryFile(), informer()
    async with kept(file, claims):
        claims.replaced([claim("a"), claim("b")], [], "5")
        await until_written(file, 1)
    copy, later = await reloaded(file)
    found = copy.find(KEY)
    assert found is not None
    assert (found.metadata.uid, found.spec) == ("a", claim("a").spec)
    later.replaced([], [], "6")
    assert copy.find(KEY) is None


async def test_nothing_is_written_before_the_first_list() -> None:
    file, claims = MemoryFile(b"as it was"), informer()
    async with kept(file, claims):
        await asyncio.sleep(0.6)
        assert file.writes == [b"as it was"]


async def test_changes_that_come_together_are_one_write_and_no_change_is_none() -> None:
    file, claims = MemoryFile(), informer()
    async with kept(file, claims):
        claims.replaced([claim("a")], [], "5")
        for number in range(20):
            claims.changed(claim(f"b{number}", version=str(6 + number)), str(6 + number))
        await until_written(file, 1)
        assert len(in_file(file)) == 21
        claims.changed(claim("a", version="90"), "90")  # of its status, say
        await asyncio.sleep(0.7)
        assert len(file.writes) == 1


async def test_what_is_being_deleted_is_not_in_the_file() -> None:
    file, claims = MemoryFile(), informer()
    async with kept(file, claims):
        claims.replaced([claim("a"), claim("b", deleting=True)], [], "5")
        await until_written(file, 1)
        assert in_file(file) == {"a"}


async def test_forgetting_returns_when_the_file_is_without_it_and_many_share_a_write() -> None:
    file, claims = MemoryFile(), informer()
    uids = [f"c{number}" for number in range(30)]
    async with kept(file, claims) as copy:
        claims.replaced([claim("a"), *map(claim, uids)], [], "5")
        await until_written(file, 1)
        for number, uid in enumerate(uids):
            claims.changed(claim(uid, deleting=True, version=str(10 + number)), str(10 + number))
        await asyncio.gather(*map(copy.forget, uids))
        assert in_file(file) == {"a"}
        assert len(file.writes) == 2
        await copy.forget("c1")
        assert len(file.writes) == 2


async def test_what_cannot_be_written_is_not_forgotten() -> None:
    file, claims = MemoryFile(), informer()
    async with kept(file, claims) as copy:
        claims.replaced([claim("a")], [], "5")
        await until_written(file, 1)
        file.fails = OSError("no space left")
        with pytest.raises(OSError, match="no space"):
            await copy.forget("a")
        assert in_file(file) == {"a"}
        file.fails = None
        await copy.forget("a")
        assert in_file(file) == set()


async def test_a_forgotten_claim_does_not_come_back_though_the_store_still_shows_it_as_living() -> None:
    file, claims = MemoryFile(), informer()
    async with kept(file, claims) as copy:
        claims.replaced([claim("a")], [], "5")
        await until_written(file, 1)
        await copy.forget("a")
        claims.changed(claim("b", version="6"), "6")
        await until_written(file, 3)
        assert in_file(file) == {"b"}
        assert copy.is_forgotten("a")
        claims.replaced([claim("b", version="6")], [], "9")
        assert not copy.is_forgotten("a"), "it is gone: nobody can take it for living"


async def test_a_write_whose_caller_is_cancelled_ends_before_the_next_begins() -> None:
    """A thread goes on writing: it would write into the next one's file."""

    class Slow(MemoryFile):
        writing = 0

        async def write(self, content: bytes) -> None:
            assert not self.writing
            self.writing += 1
            try:
                await asyncio.shield(asyncio.sleep(0.05))
            finally:
                self.writing -= 1
            await super().write(content)

    file, claims = Slow(), informer()
    copy = LocalCopy(file, claims, node="n1")
    claims.replaced([claim("a"), claim("b"), claim("c")], [], "5")
    first = asyncio.ensure_future(copy.forget("a"))
    await asyncio.sleep(0.01)
    first.cancel()
    await copy.forget("b")
    await asyncio.wait({first})
    assert first.cancelled()
    assert len(file.writes) == 2, "both were whole"
    assert in_file(file) == {"c"}


async def test_after_a_failed_write_the_file_is_written_again() -> None:
    file, claims = MemoryFile(), informer()
    file.fails = OSError("no space left")
    async with kept(file, claims):
        claims.replaced([claim("a")], [], "5")
        await asyncio.sleep(0.7)
        file.fails = None
        await until_written(file, 1)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"node":"n1","claims":[{}]}', b"\xff", b'{"x":' + b"[" * 100_000, b"\0" * 4096]
)
async def test_a_file_that_cannot_be_read_is_as_good_as_none(content: bytes) -> None:
    copy, _claims = await reloaded(MemoryFile(content))
    assert copy.find(KEY) is None


async def test_the_file_of_another_node_is_as_good_as_none() -> None:
    file, claims = MemoryFile(), informer()
    async with kept(file, claims):
        claims.replaced([claim("a")], [], "5")
        await until_written(file, 1)
    copy, _later = await reloaded(file, node="n2")
    assert copy.find(KEY) is None


async def test_a_real_file_is_replaced_whole_and_only_ours_to_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "claims.json"
    file = StateFile(path)
    assert await file.read() is None
    for content in (b"one", b"two"):
        await file.write(content)
        assert await file.read() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["claims.json"]
