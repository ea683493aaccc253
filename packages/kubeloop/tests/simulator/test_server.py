"""What the contract does not say of the simulated server: what it does not know, and that chance is a seed's."""

import random

import pytest

from kubeloop.client import errors
from kubeloop.client.client import Client
from kubeloop.client.transport import Request
from kubeloop.model.base import ObjectMeta
from kubeloop.model.core import ConfigMap, Pod
from kubeloop.simulator import ApiServer, SimulatedCluster, Storage

from .server import APPLY, CONFIG_MAPS, Body, call, create, new_server

CLOSED = {"type": "object", "properties": {"spec": {"type": "object", "additionalProperties": False}}}
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def definition(schema: Body) -> Body:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "example.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "things.example.dev"}, "spec": spec}


@pytest.mark.parametrize("subresource", ["log", "exec", "ephemeralcontainers", "resize"])
def test_a_subresource_that_is_not_simulated_says_so(subresource: str) -> None:
    server = new_server()
    call(server, "POST", "/api/v1/namespaces/default/pods", POD)
    status, body = call(server, "GET", f"/api/v1/namespaces/default/pods/p/{subresource}")
    assert (status, body["reason"]) == (501, "NotImplemented")
    assert f"pods/{subresource}" in body["message"]


def test_a_definition_whose_schema_cannot_be_evaluated_is_not_implemented() -> None:
    server = new_server()
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    status, body = call(server, "POST", path, definition(CLOSED))
    assert (status, body["reason"]) == (501, "NotImplemented")
    assert call(server, "GET", f"{path}/things.example.dev")[0] == 404


def test_yaml_is_applied_too() -> None:
    server = new_server()
    request = Request(
        "PATCH",
        f"{CONFIG_MAPS}/a",
        (("fieldManager", "me"),),
        b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n",
        APPLY,
    )
    assert server.handle(request).status == 201
    assert call(server, "GET", f"{CONFIG_MAPS}/a")[1]["data"] == {"x": "1"}


def test_the_first_namespaces_are_there_and_three_of_them_stay() -> None:
    server = new_server()
    namespaces = call(server, "GET", "/api/v1/namespaces")[1]["items"]
    found = [one["metadata"]["name"] for one in namespaces]
    assert found == ["default", "kube-node-lease", "kube-public", "kube-system"]
    for name in ("default", "kube-public", "kube-system"):
        assert call(server, "DELETE", f"/api/v1/namespaces/{name}")[0] == 403


def test_one_seed_gives_the_same_identities_and_names() -> None:
    def made(seed: int) -> tuple[str, str]:
        server = ApiServer(Storage(random=random.Random(seed)))
        meta = create(server, "", generateName="a-")["metadata"]
        return meta["uid"], meta["name"]

    assert made(1) == made(1)
    assert made(1)[0] != made(2)[0]


def test_a_definition_is_served_by_every_server_of_the_storage() -> None:
    storage = Storage()
    one, two = ApiServer(storage), ApiServer(storage)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert call(one, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(schema))[0] == 201
    later = ApiServer(storage)
    body = {"apiVersion": "example.dev/v1", "kind": "Thing", "metadata": {"name": "t"}}
    assert call(two, "POST", "/apis/example.dev/v1/namespaces/default/things", body)[0] == 201
    for server in (one, later):
        assert call(server, "GET", "/apis/example.dev/v1/namespaces/default/things/t")[0] == 200


def test_a_collection_of_pods_is_deleted_each_with_its_grace() -> None:
    server = new_server()
    pods = "/api/v1/namespaces/default/pods"
    for name, node in (("bound", {"nodeName": "n"}), ("free", {})):
        call(server, "POST", pods, {"metadata": {"name": name}, "spec": {**POD["spec"], **node}})
    assert call(server, "DELETE", pods)[0] == 200
    [left] = call(server, "GET", pods)[1]["items"]
    assert (left["metadata"]["name"], left["metadata"]["deletionGracePeriodSeconds"]) == ("bound", 30)


class Deposed:
    """A fence that is closed."""

    def check(self) -> None:
        raise errors.NotLeader("deposed")


async def test_the_fence_is_asked_before_a_write_and_not_before_a_read() -> None:
    cluster = SimulatedCluster()
    client = Client(cluster.transport(fence=Deposed()))
    with pytest.raises(errors.NotLeader):
        await client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default")))
    assert (await client.list(ConfigMap)).items == ()


async def test_a_transport_that_is_closed_breaks_its_watches_off_and_takes_no_more() -> None:
    cluster = SimulatedCluster()
    transport = cluster.transport()
    client = Client(transport)
    async with client.watch(ConfigMap, resource_version="0") as events:
        await transport.close()
        with pytest.raises(errors.Unavailable):
            await anext(events)
    with pytest.raises(errors.Unavailable) as refused:
        await client.delete(ConfigMap, "a", namespace="default")
    assert not refused.value.sent


async def test_a_pod_is_typed_as_from_a_real_server() -> None:
    cluster = SimulatedCluster()
    client = Client(cluster.transport())
    call(cluster.server, "POST", "/api/v1/namespaces/default/pods", POD)
    pod = await client.get(Pod, "p", namespace="default")
    assert (pod.status.phase, pod.metadata.generation) == ("Pending", 1)
