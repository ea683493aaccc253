"""What a change of a schema that breaks does to the objects that are there, on a real API server."""

from typing import ClassVar

import pytest

from kubeloop.client import errors
from kubeloop.client.client import MergePatch, connect
from kubeloop.client.definitions import DefinitionRefused, ensure_definitions
from kubeloop.model.base import KubeObject, KubeStruct, ObjectMeta, Resource
from kubeloop.testing import ControlPlane

LAMPS = Resource("gotchas.kubeloop.dev", "v1", "lamps", "Lamp")


class OldSpec(KubeStruct, frozen=True, kw_only=True):
    watts: int = 0


class OldLamp(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = LAMPS
    spec: OldSpec = OldSpec()


class NewSpec(KubeStruct, frozen=True, kw_only=True):
    watts: int = 0
    socket: str


class NewLamp(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = LAMPS
    spec: NewSpec


async def test_what_is_stored_is_refused_at_the_next_write_that_touches_it(control_plane: ControlPlane) -> None:
    async with connect(control_plane.config(), user_agent="gotchas/1") as client:
        await ensure_definitions(client, (OldLamp,))
        meta = ObjectMeta(name="old", namespace="default", finalizers=("gotchas.kubeloop.dev/held",))
        await client.create(OldLamp(metadata=meta, spec=OldSpec(watts=60)))

        with pytest.raises(DefinitionRefused, match="socket"):
            await ensure_definitions(client, (NewLamp,))
        await ensure_definitions(client, (NewLamp,), allow_breaking=True)

        async def write(body: dict[str, object]) -> None:
            await client.patch(OldLamp, "old", MergePatch(body), namespace="default")

        for _ in range(100):  # the server takes the new schema into use a moment later
            try:
                await write({"spec": {"watts": (await client.get(OldLamp, "old", namespace="default")).spec.watts + 1}})
            except errors.Invalid as error:
                refused = error
                break
        assert "spec.socket: Required value" in refused.message
        with pytest.raises(errors.DecodeError, match="socket"):
            await client.get(NewLamp, "old", namespace="default")

        await write({"metadata": {"finalizers": None}})  # a write that leaves the broken part alone is taken
        await client.delete(OldLamp, "old", namespace="default")
