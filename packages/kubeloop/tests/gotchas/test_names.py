"""Names made of other names: they have bounds, and cut names meet."""

from hashlib import blake2b
from typing import ClassVar

import pytest

import kubeloop as k
from kubeloop.testing import ControlPlane


class Shop(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("gotchas.kubeloop.dev", "v1", "shops", "Shop")
    rules: ClassVar = (k.markers.Rule("size(self.metadata.name) <= 40", "the name is too long for what is made of it"),)


def child_name(parent: str, suffix: str, longest: int = 253) -> str:
    """The whole name where it fits, else its beginning and a hash of it."""
    whole = f"{parent}-{suffix}"
    if len(whole) <= longest:
        return whole
    return f"{whole[: longest - 17].rstrip('-.')}-{blake2b(whole.encode(), digest_size=8).hexdigest()}"


async def test_a_name_or_label_made_of_a_long_name_is_refused_and_a_hashed_one_is_taken(
    control_plane: ControlPlane,
) -> None:
    parents = ["p" * 250 + "-1", "p" * 250 + "-2"]
    async with k.connect(control_plane.config(), user_agent="gotchas/1") as client:
        for parent in parents:
            await client.create(k.ConfigMap(metadata=k.ObjectMeta(name=parent, namespace="default")))
            child = k.ObjectMeta(name=f"{parent}-pages", namespace="default")
            with pytest.raises(k.Invalid, match=r"metadata\.name: .*must be no more than 253"):
                await client.create(k.ConfigMap(metadata=child))
            labelled = k.ObjectMeta(name="labelled", namespace="default", labels={"parent": parent})
            with pytest.raises(k.Invalid, match=r"metadata\.labels: .*must be no more than 63"):
                await client.create(k.ConfigMap(metadata=labelled))

        for parent in parents:
            labels = {"parent": child_name(parent, "pages", longest=63)}
            child = k.ObjectMeta(name=child_name(parent, "pages"), namespace="default", labels=labels)
            await client.create(k.ConfigMap(metadata=child))  # cut without a hash the second would be there already


async def test_a_rule_over_the_whole_object_bounds_its_name(control_plane: ControlPlane) -> None:
    async with k.connect(control_plane.config(), user_agent="gotchas/1") as client:
        await k.ensure_definitions(client, (Shop,))
        await client.create(Shop(metadata=k.ObjectMeta(name="s" * 40, namespace="default")))
        with pytest.raises(k.Invalid, match="the name is too long for what is made of it"):
            await client.create(Shop(metadata=k.ObjectMeta(name="s" * 41, namespace="default")))
