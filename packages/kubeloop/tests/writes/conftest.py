"""A client on the real API server, with gadgets served and a namespace of the test's own."""

import uuid
from collections.abc import AsyncIterator

import pytest

from kubeloop.client.client import Client, connect
from kubeloop.client.definitions import ensure_definitions
from kubeloop.model.base import ObjectMeta
from kubeloop.model.core import Namespace
from kubeloop.testing import ControlPlane

from ..gadgets import Gadget, GadgetAlpha


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[Client]:
    async with connect(control_plane.config(), user_agent="test/1", field_manager="test") as client:
        await ensure_definitions(client, (Gadget, GadgetAlpha))
        yield client


@pytest.fixture
async def namespace(client: Client) -> str:
    name = f"writes-{uuid.uuid4().hex[:8]}"
    await client.create(Namespace(metadata=ObjectMeta(name=name)))
    return name
