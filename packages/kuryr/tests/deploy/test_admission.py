"""deploy/admission.yaml on a real API server: what a daemon's token may write, whatever rights it has.

The rights here are those of a cluster's administrator, so that every refusal is the policy's. All writes are trials
(`dryRun`): they go through admission, and change nothing.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from kubeloop import (
    Client,
    ClusterConfig,
    Forbidden,
    Impersonation,
    JsonPatch,
    KubeObject,
    MergePatch,
    Namespace,
    Node,
    ObjectMeta,
    Resource,
    connect,
    load_config,
)
from kubeloop.testing import ControlPlane
from kuryr.model.resources import (
    SANDBOX_FINALIZER,
    Address,
    Interface,
    KuryrCluster,
    KuryrNode,
    KuryrNodeSpec,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
    KuryrPortSpec,
)

from ..conftest import TRIAL, acting_as

INTERFACE = Interface(
    port_id="port", mac_address="fa:16:3e:00:00:01", mtu=1442, addresses=(Address(ip="10.0.0.9", prefix_length=16),)
)
QUARANTINE = [{"portID": name, "claimUID": name, "podUID": name} for name in ("first", "second")]


class ServiceAccount(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "serviceaccounts", "ServiceAccount")


class TokenRequest(KubeObject, frozen=True, kw_only=True):
    """One that can be bound to an object."""

    resource: ClassVar[Resource] = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A node with all that it may have. `node` is also the name of its namespace, of its pool and of other things."""

    plane: ControlPlane
    admin: Client
    node: str
    node_uid: str

    def port(self, name: str) -> KuryrPort:
        spec = KuryrPortSpec(
            pod_uid="p", node=self.node, node_uid=self.node_uid, pool=self.node, interfaces=(INTERFACE,)
        )
        finalizers = (SANDBOX_FINALIZER, "example.org/other")
        return KuryrPort(metadata=ObjectMeta(name=name, namespace=self.node, finalizers=finalizers), spec=spec)

    def kuryr_node(self, **spec: Any) -> KuryrNode:
        return KuryrNode(metadata=ObjectMeta(name=self.node), spec=KuryrNodeSpec(**{"node_uid": self.node_uid, **spec}))


@asynccontextmanager
async def scene(plane: ControlPlane) -> AsyncIterator[Scene]:
    node = f"t-{uuid.uuid4().hex[:8]}"
    async with connect(plane.config(), user_agent="test/1", field_manager="test") as admin:
        made = await admin.create(Node(metadata=ObjectMeta(name=node)))
        here = Scene(plane, admin, node, made.metadata.uid)
        await admin.create(Namespace(metadata=ObjectMeta(name=node)))
        await admin.create(here.kuryr_node())
        for name in ("living", "going"):
            await admin.create(here.port(name))
        await admin.delete(KuryrPort, "going", namespace=node)
        pool = KuryrPortPoolSpec(node=node, node_uid=made.metadata.uid, network_id="net", subnet_ids=("subnet",))
        await admin.create(KuryrPortPool(metadata=ObjectMeta(name=node), spec=pool))
        status = {"status": {"inUse": 2, "quarantine": QUARANTINE}}
        await admin.patch(KuryrPortPool, node, MergePatch(status), subresource="status")
        yield here
        for name in ("living", "going"):
            await admin.patch(KuryrPort, name, MergePatch({"metadata": {"finalizers": None}}), namespace=node)


@asynccontextmanager
async def daemon(here: Scene, *, node: str | None = None, node_uid: str = "") -> AsyncIterator[Client]:
    """As the daemon of the scene's node or of another, with every right."""
    config = acting_as(here.plane, "kuryr-daemon")
    assert config.impersonation is not None
    extra = {"authentication.kubernetes.io/node-name": (here.node if node is None else node,)}
    if node_uid:
        extra["authentication.kubernetes.io/node-uid"] = (node_uid,)
    known = Impersonation(user=config.impersonation.user, groups=("system:masters",), extra=extra)
    async with connect(replace(config, impersonation=known), user_agent=TRIAL, field_manager="kuryr") as client:
        yield client


Write = Callable[[Client, Scene], Awaitable[object]]


def patch(
    kind: type[KubeObject], body: dict[str, Any] | list[dict[str, Any]], *, of: str = "", subresource: str = ""
) -> Write:
    """Of the object of that name in the node's namespace, or of the cluster-scoped one that is named as the node."""

    async def write(client: Client, here: Scene) -> object:
        how = JsonPatch(body) if isinstance(body, list) else MergePatch(body)
        namespace = here.node if of else ""
        return await client.patch(
            kind, of or here.node, how, namespace=namespace, subresource=subresource, dry_run=True
        )

    return write


def delete(kind: type[KubeObject], *, of: str = "") -> Write:
    return lambda client, here: client.delete(kind, of or here.node, namespace=here.node if of else "", dry_run=True)


def create(make: Callable[[Scene], KubeObject]) -> Write:
    return lambda client, here: client.create(make(here), dry_run=True)


async def make_anew(client: Client, here: Scene) -> object:
    await here.admin.delete(KuryrNode, here.node)
    return await client.create(here.kuryr_node(), dry_run=True)


def without_finalizer(position: int) -> list[dict[str, Any]]:
    return [{"op": "remove", "path": f"/metadata/finalizers/{position}"}]


DAILY: dict[str, Write] = {
    "makes its KuryrNode": make_anew,
    "deletes its KuryrNode": delete(KuryrNode),
    "labels its KuryrNode": patch(KuryrNode, {"metadata": {"labels": {"a": "b"}}}),
    "reports the node": patch(KuryrNode, {"status": {"hostID": "h"}}, subresource="status"),
    "says that a pod is plugged": patch(KuryrPort, {"status": {"plugged": True}}, of="living", subresource="status"),
    "gives the receipt": patch(KuryrPort, without_finalizer(0), of="going"),
    "lets a port out of quarantine": patch(
        KuryrPortPool, [{"op": "remove", "path": "/status/quarantine/0"}], subresource="status"
    ),
    "empties the quarantine": patch(KuryrPortPool, {"status": {"quarantine": None}}, subresource="status"),
}

NEVER: dict[str, tuple[Write, str]] = {
    "gives a receipt for a living pod": (patch(KuryrPort, without_finalizer(0), of="living"), "being deleted"),
    "takes another's finalizer": (patch(KuryrPort, without_finalizer(1), of="going"), "finalizer"),
    "takes all finalizers": (patch(KuryrPort, {"metadata": {"finalizers": None}}, of="going"), "finalizer"),
    "labels a KuryrPort": (patch(KuryrPort, {"metadata": {"labels": {"a": "b"}}}, of="going"), "finalizer"),
    "makes a KuryrPort": (create(lambda here: here.port("new")), "may not create kuryrports"),
    "deletes a KuryrPort": (delete(KuryrPort, of="living"), "may not delete kuryrports"),
    "gives itself a port": (
        patch(KuryrNode, {"spec": {"interface": msgspec.to_builtins(INTERFACE)}}),
        "given by the controller",
    ),
    "counts ports": (patch(KuryrPortPool, {"status": {"inUse": 0}}, subresource="status"), "status.quarantine"),
    "drops a count": (patch(KuryrPortPool, {"status": {"inUse": None}}, subresource="status"), "status.quarantine"),
    "puts a port in quarantine": (
        patch(
            KuryrPortPool,
            [{"op": "add", "path": "/status/quarantine/-", "value": {**QUARANTINE[0], "portID": "third"}}],
            subresource="status",
        ),
        "status.quarantine",
    ),
    "enlarges a pool": (patch(KuryrPortPool, {"spec": {"min": 9}}), "may not update kuryrportpools"),
    "deletes a pool": (delete(KuryrPortPool), "may not delete kuryrportpools"),
    "approves a sweep": (
        create(lambda here: KuryrCluster(metadata=ObjectMeta(name="kuryr"))),
        "kuryrclusters kuryr is of no node",
    ),
}


@pytest.mark.parametrize("what", DAILY)
async def test_a_daemon_writes_for_its_own_node(control_plane: ControlPlane, what: str) -> None:
    async with scene(control_plane) as here, daemon(here, node_uid=here.node_uid) as client:
        await DAILY[what](client, here)


@pytest.mark.parametrize("what", DAILY)
async def test_the_daemon_of_another_node_is_refused_and_told_what_to_do(
    control_plane: ControlPlane, what: str
) -> None:
    async with scene(control_plane) as here, daemon(here, node="other") as client:
        with pytest.raises(Forbidden, match=f"of node other .* of node {here.node}: set daemon.node"):
            await DAILY[what](client, here)


@pytest.mark.parametrize("what", DAILY)
async def test_a_token_that_is_bound_to_no_node_is_refused_and_how_to_bind_it_is_said(
    control_plane: ControlPlane, what: str
) -> None:
    async with scene(control_plane) as here, daemon(here, node="") as client:
        with pytest.raises(Forbidden, match=r"not bound to a node.*--bound-object-kind Node"):
            await DAILY[what](client, here)


@pytest.mark.parametrize("what", NEVER)
async def test_a_daemon_does_not_do_also_on_its_own_node_what_is_not_its_work(
    control_plane: ControlPlane, what: str
) -> None:
    write, reason = NEVER[what]
    async with scene(control_plane) as here, daemon(here) as client:
        with pytest.raises(Forbidden, match=reason):
            await write(client, here)


async def test_a_machine_that_was_replaced_does_not_speak_for_the_new_node_of_its_name(
    control_plane: ControlPlane,
) -> None:
    async with scene(control_plane) as here, daemon(here, node_uid="older") as client:
        with pytest.raises(Forbidden, match=r"spec\.nodeUID"):
            await make_anew(client, here)


async def test_the_port_that_the_controller_gave_stays_when_the_daemon_writes_its_node(
    control_plane: ControlPlane,
) -> None:
    async with scene(control_plane) as here, daemon(here) as client:
        await here.admin.patch(
            KuryrNode, here.node, MergePatch({"spec": {"interface": msgspec.to_builtins(INTERFACE)}})
        )
        await client.patch(KuryrNode, here.node, MergePatch({"metadata": {"labels": {"a": "b"}}}), dry_run=True)
        for other in (None, {"portID": "another"}):
            with pytest.raises(Forbidden, match="given by the controller"):
                await client.patch(KuryrNode, here.node, MergePatch({"spec": {"interface": other}}), dry_run=True)


async def bound_token(here: Scene, folder: Path) -> ClusterConfig:
    """A real one, as `kubectl create token --bound-object-kind Node` asks for it; its rights are deploy/rbac.yaml's."""
    bound = {"kind": "Node", "apiVersion": "v1", "name": here.node, "uid": here.node_uid}
    asked = TokenRequest(metadata=ObjectMeta(), spec={"audiences": [], "boundObjectRef": bound})
    made = await here.admin.create_subresource(
        ServiceAccount, "kuryr-daemon", "token", asked, TokenRequest, namespace="kuryr-system"
    )
    config = {
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": here.plane.server, "certificate-authority": str(here.plane.ca_file)},
            }
        ],
        "users": [{"name": "u", "user": {"token": made.status["token"]}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = folder / here.node
    path.write_bytes(msgspec.json.encode(config))
    return load_config(str(path))


async def test_a_real_token_bound_to_a_node_writes_for_that_node_and_no_other(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with scene(control_plane) as here, scene(control_plane) as there:
        config = await bound_token(here, tmp_path)
        async with connect(config, user_agent=TRIAL, field_manager="kuryr") as client:
            for what in ("reports the node", "gives the receipt", "says that a pod is plugged"):
                await DAILY[what](client, here)
                with pytest.raises(Forbidden, match=f"daemon of node {here.node} may"):
                    await DAILY[what](client, there)
