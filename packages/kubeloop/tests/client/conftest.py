from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from .api_server import ApiServer, serving, write_ca


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    return write_ca(ca, tmp_path / "ca.crt")


@pytest.fixture
async def server(ca: trustme.CA) -> AsyncIterator[ApiServer]:
    async with serving(ApiServer(ca)) as started:
        yield started
