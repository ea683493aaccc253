"""Each example runs on the simulated API server by one command, as its users start it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import kubeloop as k

from .programs import EXAMPLES


@asynccontextmanager
async def started(folder: Path, name: str, *arguments: object) -> AsyncIterator[k.Client]:
    """The command; its end is in order."""
    kubeconfig = folder / "kubeconfig"
    files = ("--kubeconfig", kubeconfig, "--apply", EXAMPLES / f"{name}.yaml", "--run", EXAMPLES / f"{name}.py")
    command = (sys.executable, "-m", "kubeloop.simulator", *files, *arguments)
    process = await asyncio.create_subprocess_exec(*map(str, command), stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(20):
            while not kubeconfig.exists():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)
        async with k.connect(k.load_config(str(kubeconfig)), user_agent="test/1") as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = await process.communicate()
    assert process.returncode == 0, told.decode()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            with suppress(k.NotFound):
                if await holds():
                    return
            await asyncio.sleep(0.05)


async def test_the_pod_counter_by_one_command(tmp_path: Path) -> None:
    async with started(tmp_path, "pod_counter") as client:

        async def counted() -> bool:
            annotations = (await client.get(k.Namespace, "counted")).metadata.annotations
            return annotations.get("example.kubeloop.dev/pods") == "1"

        await until(counted)


async def test_the_shared_config_by_one_command(tmp_path: Path) -> None:
    async with started(tmp_path, "shared_config") as client:

        async def copied() -> bool:
            return (await client.get(k.ConfigMap, "greeting", namespace="blue")).data == {"greeting": "hello"}

        await until(copied)


async def test_the_website_by_one_command(tmp_path: Path) -> None:
    async with started(tmp_path, "website", tmp_path) as client:

        async def served() -> bool:
            pages = (await client.get(k.ConfigMap, "hello", namespace="default")).data
            return pages == {"index.html": "<h1>Hello</h1>"} and (tmp_path / "hello.example.org").is_symlink()

        await until(served)
