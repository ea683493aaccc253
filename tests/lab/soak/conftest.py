"""`make soak` runs these in full; `make test` in their short form."""

import os

import pytest


@pytest.fixture(scope="session")
def full() -> bool:
    return os.environ.get("SOAK") == "full"
