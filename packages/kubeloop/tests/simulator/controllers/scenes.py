"""What the cluster's own controllers do, as scenes that are played on the simulated cluster and on
kube-controller-manager 1.37: garbage, namespaces, ReplicaSets.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import kubeloop as k
from kubeloop.simulator.controllers.kinds import Node, Pod

from .hand import HOLD, NEVER_S, Hand, Namespace, ReplicaSet, blocked, until

Scene = Callable[[Hand], Awaitable[None]]


async def dependents_go_after_their_owner(hand: Hand) -> None:
    owner = await hand.made("owner")
    child = await hand.made("child", owner.owner_reference())
    await hand.made("grandchild", child.owner_reference())
    await hand.made("stranger")
    await hand.delete("owner")
    await hand.until_only("stranger")


async def a_dependent_with_another_owner_stays_and_forgets_the_one_that_is_gone(hand: Hand) -> None:
    gone, kept = await hand.made("gone"), await hand.made("kept")
    await hand.made("child", gone.owner_reference(), kept.owner_reference())
    await hand.delete("gone")

    async def has_one_owner() -> bool:
        child = await hand.find(k.ConfigMap, "child")
        assert child is not None
        return [one.name for one in child.metadata.owner_references] == ["kept"]

    await until(has_one_owner)


async def an_owner_deleted_in_the_foreground_goes_after_those_that_block_it(hand: Hand) -> None:
    owner = await hand.made("owner")
    await hand.made("blocking", blocked(owner), finalizers=(HOLD,))
    await hand.made("other", blocked(owner, blocks=False), finalizers=(HOLD,))
    await hand.made("free", blocked(owner))
    await hand.heard()
    await hand.delete("owner", "Foreground")
    await hand.until_only("owner", "blocking", "other")
    found = await hand.find(k.ConfigMap, "owner")
    assert found is not None
    assert found.metadata.finalizers == ("foregroundDeletion",)
    await until(lambda: hand.are_deleting("blocking", "other"))
    await hand.let_go(k.ConfigMap, "blocking")
    await hand.until_only("other")
    await hand.let_go(k.ConfigMap, "other")


async def a_deletion_in_the_foreground_goes_all_the_way_down(hand: Hand) -> None:
    owner = await hand.made("owner")
    child = await hand.made("child", blocked(owner))
    await hand.made("grandchild", blocked(child), finalizers=(HOLD,))
    await hand.heard()
    await hand.delete("owner", "Foreground")
    await until(lambda: hand.are_deleting("owner", "child", "grandchild"))
    await hand.let_go(k.ConfigMap, "grandchild")
    await hand.until_only()


async def an_owner_may_orphan_its_dependents(hand: Hand) -> None:
    owner = await hand.made("owner")
    await hand.made("child", blocked(owner))
    await hand.heard()
    await hand.delete("owner", "Orphan")
    await hand.until_only("child")
    child = await hand.find(k.ConfigMap, "child")
    assert child is not None
    assert not child.metadata.owner_references
    assert not child.metadata.deleting


async def an_owner_of_the_same_name_is_not_the_owner(hand: Hand) -> None:
    owner = await hand.made("owner", finalizers=(HOLD,))
    await hand.let_go(k.ConfigMap, "owner")
    await hand.delete("owner")
    await hand.made("owner")
    await hand.made("child", owner.owner_reference())
    await hand.until_only("owner")


async def an_owner_in_another_namespace_does_not_exist(hand: Hand) -> None:
    other = Hand(hand.client, "default")
    owner = await other.made(f"owner-of-{hand.namespace}")
    await hand.made("child", owner.owner_reference())
    await hand.until_only()
    await other.delete(owner.key.name)


async def an_owner_of_a_kind_that_is_not_served_is_left_to_itself(hand: Hand) -> None:
    unknown = k.OwnerReference(api_version="nobody.dev/v1", kind="Nothing", name="x", uid="x")
    await hand.made("child", unknown)
    await asyncio.sleep(NEVER_S)
    assert await hand.has_only("child")


async def what_has_no_namespace_has_no_owner_in_one(hand: Hand) -> None:
    owner = await hand.made("owner")
    node = f"node-of-{hand.namespace}"
    await hand.client.create(Node(metadata=k.ObjectMeta(name=node, owner_references=(owner.owner_reference(),))))
    await hand.delete("owner")
    await asyncio.sleep(NEVER_S)
    assert await hand.find(Node, node)
    await hand.client.delete(Node, node)


async def two_that_block_each_other_go_both(hand: Hand) -> None:
    first = await hand.made("first")
    second = await hand.made("second", blocked(first))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "second", "uid": second.metadata.uid}
    patch = k.MergePatch({"metadata": {"ownerReferences": [{**reference, "blockOwnerDeletion": True}]}})
    await hand.client.patch(k.ConfigMap, "first", patch, namespace=hand.namespace)
    await hand.heard()
    await hand.delete("first", "Foreground")
    await hand.until_only()


async def a_namespace_goes_with_all_it_has_pods_first(hand: Hand) -> None:
    await hand.pod("held", finalizers=(HOLD,))
    await hand.pod("free")
    await hand.made("held", finalizers=(HOLD,))
    await hand.made("free")
    await hand.client.delete(k.Namespace, hand.namespace)

    async def pods() -> bool:
        return await hand.names(Pod) == {"held"}

    await until(pods)
    await asyncio.sleep(NEVER_S)
    assert await hand.names() == {"held", "free"}
    await hand.let_go(Pod, "held")
    await hand.until_only("held")

    async def told() -> bool:
        namespace = await hand.find(Namespace, hand.namespace)
        assert namespace is not None
        assert namespace.status.phase == "Terminating"
        return k.is_true(namespace.status.conditions, "NamespaceFinalizersRemaining")

    await until(told)
    namespace = await hand.find(Namespace, hand.namespace)
    assert namespace is not None
    said = {one.type: (one.status, one.reason, one.message) for one in namespace.status.conditions}
    left = "Some resources are remaining: configmaps. has 1 resource instances"
    held = f"Some content in the namespace has finalizers remaining: {HOLD} in 1 resource instances"
    assert said["NamespaceContentRemaining"] == ("True", "SomeResourcesRemain", left)
    assert said["NamespaceFinalizersRemaining"] == ("True", "SomeFinalizersRemain", held)
    fine = "All content successfully deleted, may be waiting on finalization"
    assert said["NamespaceDeletionContentFailure"] == ("False", "ContentDeleted", fine)
    await hand.let_go(k.ConfigMap, "held")

    async def gone() -> bool:
        return await hand.find(k.Namespace, hand.namespace) is None

    await until(gone)


async def a_replica_set_has_as_many_pods_as_it_says(hand: Hand) -> None:
    made = await replica_set(hand, 3)
    await until(lambda: has_pods(hand, 3))
    for pod in await pods_of(hand):
        (reference,) = pod.metadata.owner_references
        assert (reference.uid, reference.controller, reference.block_owner_deletion) == (made.metadata.uid, True, True)
        assert pod.key.name.startswith("web-")
        assert pod.metadata.labels == {"app": "web"}
    first = (await pods_of(hand))[0]
    await hand.client.delete(Pod, first.key.name, namespace=hand.namespace, grace_period_s=0)
    await until(lambda: has_pods(hand, 3))
    assert first.key.name not in {pod.key.name for pod in await pods_of(hand)}
    for wanted in (1, 2):
        await replica_set(hand, wanted)
        await until(lambda: has_pods(hand, wanted))  # noqa: B023 - awaited within
    await hand.client.delete(ReplicaSet, "web", namespace=hand.namespace)

    async def none() -> bool:
        return not await pods_of(hand)

    await until(none)


async def a_replica_set_adopts_the_pods_that_another_left(hand: Hand) -> None:
    await replica_set(hand, 2)
    await until(lambda: has_pods(hand, 2))
    names = {pod.key.name for pod in await pods_of(hand)}
    await hand.client.delete(ReplicaSet, "web", namespace=hand.namespace, propagation_policy="Orphan")

    async def gone() -> bool:
        return await hand.find(ReplicaSet, "web") is None

    await until(gone)
    made = await replica_set(hand, 2)
    await until(lambda: has_pods(hand, 2))
    adopted = await pods_of(hand)
    assert {pod.key.name for pod in adopted} == names
    assert {one.uid for pod in adopted for one in pod.metadata.owner_references} == {made.metadata.uid}


async def replica_set(hand: Hand, replicas: int) -> ReplicaSet:
    labels = {"app": "web"}
    template: dict[str, Any] = {"metadata": {"labels": labels}}
    template["spec"] = {"containers": [{"name": "main", "image": "none"}]}
    body = {"spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}
    return await hand.client.patch(ReplicaSet, "web", k.ApplyPatch(body), namespace=hand.namespace)


async def pods_of(hand: Hand) -> list[Pod]:
    found = await hand.client.list(Pod, namespace=hand.namespace)
    return [one for one in found.items if not one.metadata.deleting]


async def has_pods(hand: Hand, wanted: int) -> bool:
    """There are so many, and the set has seen it."""
    found = await hand.find(ReplicaSet, "web")
    assert found is not None
    seen = found.status.observed_generation == found.metadata.generation
    return seen and len(await pods_of(hand)) == found.status.replicas == wanted


SCENES: tuple[Scene, ...] = (
    dependents_go_after_their_owner,
    a_dependent_with_another_owner_stays_and_forgets_the_one_that_is_gone,
    an_owner_deleted_in_the_foreground_goes_after_those_that_block_it,
    a_deletion_in_the_foreground_goes_all_the_way_down,
    an_owner_may_orphan_its_dependents,
    an_owner_of_the_same_name_is_not_the_owner,
    an_owner_in_another_namespace_does_not_exist,
    an_owner_of_a_kind_that_is_not_served_is_left_to_itself,
    what_has_no_namespace_has_no_owner_in_one,
    two_that_block_each_other_go_both,
    a_namespace_goes_with_all_it_has_pods_first,
    a_replica_set_has_as_many_pods_as_it_says,
    a_replica_set_adopts_the_pods_that_another_left,
)
