"""What tests of controllers do not show, each beside what does."""

from unittest.mock import AsyncMock

import pytest

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing.virtual_time import virtual_time

from ..kinds import Widget, WidgetStatus
from .running import client_of

HERE = k.ObjectMeta(name="a", namespace="default")


async def report_ready(client: k.Client, widget: Widget) -> None:
    """Wrong: the status is another resource."""
    patch = k.MergePatch({"status": {"ready": True}})
    await client.patch(Widget, widget.metadata.name, patch, namespace=widget.metadata.namespace)


async def claim(client: k.Client, widget: Widget) -> None:
    """Wrong: a finalizer may come to an object that is going."""
    finalizers = [*widget.metadata.finalizers, "example.dev/held"]
    patch = k.MergePatch({"metadata": {"finalizers": finalizers}})
    await client.patch(Widget, widget.metadata.name, patch, namespace=widget.metadata.namespace)


@virtual_time
async def test_a_mock_is_content_with_a_status_that_no_server_writes() -> None:
    mock = AsyncMock(spec=k.Client)
    await report_ready(mock, Widget(metadata=HERE))
    mock.patch.assert_awaited_once()  # the test passes

    async with client_of(SimulatedCluster(), Widget) as client:
        widget = await client.create(Widget(metadata=HERE))
        await report_ready(client, widget)
        assert (await client.get(Widget, "a", namespace="default")).status == WidgetStatus(ready=False)


@virtual_time
async def test_a_mock_takes_what_every_server_refuses() -> None:
    going = Widget(metadata=k.ObjectMeta(name="a", namespace="default", deletion_timestamp="2026-01-02T03:04:05Z"))
    mock = AsyncMock(spec=k.Client)
    await claim(mock, going)
    mock.patch.assert_awaited_once()

    async with client_of(SimulatedCluster(), Widget) as client:
        held = k.ObjectMeta(name="a", namespace="default", finalizers=("example.dev/others",))
        await client.create(Widget(metadata=held))
        found = await client.delete(Widget, "a", namespace="default")
        assert found is not None
        with pytest.raises(k.Invalid, match="no new finalizers can be added if the object is being deleted"):
            await claim(client, found)
