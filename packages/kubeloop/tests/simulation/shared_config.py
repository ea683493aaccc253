"""The scenario of examples/shared_config.py, as it is: two replicas, labels and a namespace that come and go, a
name that comes back.
"""

import contextlib
from pathlib import Path

import kubeloop as k
from kubeloop.testing import Scenario, World, load_module

example = load_module(str(Path(__file__).parents[2] / "examples" / "shared_config.py"))
SharedConfig, SharedConfigSpec = example.SharedConfig, example.SharedConfigSpec
TEAM = {"team": "a"}


async def make_namespaces(world: World) -> None:
    for name, labels in {"one": TEAM, "two": TEAM, "other": {}}.items():
        await world.client.create(k.Namespace(metadata=k.ObjectMeta(name=name, labels=labels)))
    foreign = k.ObjectMeta(name="motd", namespace="other")
    await world.client.create(k.ConfigMap(metadata=foreign, data={"of": "somebody else"}))


async def share(world: World) -> None:
    spec = SharedConfigSpec(data={"greeting": "hello"}, namespace_labels=TEAM)
    await world.client.create(SharedConfig(metadata=k.ObjectMeta(name="motd"), spec=spec))


async def change(world: World) -> None:
    await world.client.patch(SharedConfig, "motd", k.MergePatch({"spec": {"data": {"greeting": "good bye"}}}))


async def meddle(world: World) -> None:
    """Somebody changes a copy, if it is there by now."""
    with contextlib.suppress(k.NotFound):
        await world.client.patch(k.ConfigMap, "motd", k.MergePatch({"data": {"greeting": "no"}}), namespace="one")


async def leave(world: World) -> None:
    await world.client.patch(k.Namespace, "two", k.MergePatch({"metadata": {"labels": {"team": None}}}))


async def join(world: World) -> None:
    await world.client.create(k.Namespace(metadata=k.ObjectMeta(name="three", labels=TEAM)))


async def close(world: World) -> None:
    """A namespace goes, with its copy: in it nothing can be made any more."""
    await world.client.delete(k.Namespace, "one")


async def share_anew(world: World) -> None:
    """Deleted, and made again at once under its name."""
    await world.client.delete(SharedConfig, "motd")
    await share(world)


def others_are_left_alone(world: World) -> None:
    found = world.get(k.ConfigMap, "motd", namespace="other")
    assert found is None or found.data == {"of": "somebody else"}, f"a stranger's ConfigMap is {found}"


def copies_are_right(world: World) -> None:
    shared = {one.metadata.name: one for one in world.list(SharedConfig)}
    copies = [one for one in world.list(k.ConfigMap) if example.LABEL in one.metadata.labels]
    desired = {
        (copy.key, copy.metadata.owner_references[0].uid, tuple(copy.data.items()))
        for one in shared.values()
        for copy in example.desire(one, world.list(k.Namespace)).values()
    }
    actual = {(copy.key, copy.metadata.owner_references[0].uid, tuple(copy.data.items())) for copy in copies}
    assert actual == desired
    for one in shared.values():
        assert one.status.copies == len(example.desire(one, world.list(k.Namespace)))


SHARED_CONFIG = Scenario(
    name="shared-config",
    controller=example.run,
    steps=(make_namespaces, share, change, meddle, leave, join, close, share_anew),
    kinds=(SharedConfig,),
    replicas=2,
    always=(others_are_left_alone,),
    finally_=(copies_are_right,),
)
