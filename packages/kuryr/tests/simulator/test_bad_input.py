"""Whatever a client sends, the simulated cloud answers."""

import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kuryr.simulator.cloud import Cloud
from kuryr.simulator.first_look import furnish
from kuryr.simulator.neutron.service import NetworkService

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70000),
    st.sampled_from(("", "x", "10.20.0.9", "10.99.0.0/24", "fd00::/64", "tcp", "ingress", "02:00:00:00:00:01", "?")),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(("subnet_id", "ip_address", "network_id", "start", "end")), inner, max_size=2),
    ),
    max_leaves=4,
)
PARTS = st.sampled_from(("auth", "identity", "methods", "password", "user", "scope", "project", "id", "token", "name"))
AUTHENTICATIONS = st.recursive(SCALARS, lambda inner: st.dictionaries(PARTS, inner), max_leaves=8)
COLLECTIONS = ("networks", "subnets", "subnetpools", "routers", "ports", "security-groups", "security-group-rules")


def known(service: NetworkService, collection: str) -> tuple[str, ...]:
    return (*service.resources[collection].attributes, "colour")


def send(cloud: Cloud, method: str, path: str, body: Any) -> None:
    user, project = cloud.identity.user_named("kuryr"), cloud.identity.project_named("kubernetes")
    assert user is not None
    assert project is not None
    token = cloud.tokens.issue(user.id, project.id, ("admin",)).secret
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    answer = cloud.handle(method, path, (), headers, msgspec.json.encode(body))
    assert 200 <= answer.status <= 501
    assert answer.status < 500 or answer.status == 501 or b"SubnetAllocationError" in answer.body


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_every_create_and_change_is_answered(data: st.DataObject) -> None:
    cloud = furnish(random.Random(1))
    collection = data.draw(st.sampled_from(COLLECTIONS))
    resource = cloud.network.resources[collection]
    there = list(resource.objects)
    body = data.draw(st.dictionaries(st.sampled_from(known(cloud.network, collection)), VALUES, max_size=4))
    network = next(iter(cloud.network.networks.objects))
    body = {name: network if value == "?" else value for name, value in body.items()}
    if data.draw(st.booleans()) and "network_id" in resource.attributes:
        body.setdefault("network_id", network)
    if collection == "subnets":
        body.setdefault("ip_version", 4)
    change = there and data.draw(st.booleans())
    path = f"/network/v2.0/{collection}{f'/{data.draw(st.sampled_from(there))}' if change else ''}"
    send(cloud, "PUT" if change else "POST", path, {resource.name: body})


@given(
    st.sampled_from(("ports", "routers/{}/add_router_interface", "routers/{}/remove_router_interface", "quotas/x")),
    st.dictionaries(st.sampled_from(("port", "ports", "subnet_id", "port_id", "quota", "tags")), VALUES, max_size=2),
)
@settings(max_examples=150, deadline=None)
def test_every_other_body_is_answered(path: str, body: dict[str, Any]) -> None:
    cloud = furnish(random.Random(1))
    router = next(iter(cloud.network.routers.objects))
    method = "POST" if path == "ports" else "PUT"
    send(cloud, method, f"/network/v2.0/{path.format(router)}", body)


@given(AUTHENTICATIONS)
@settings(max_examples=150, deadline=None)
def test_every_authentication_is_answered(body: Any) -> None:
    cloud = furnish(random.Random(1))
    send(cloud, "POST", "/identity/v3/auth/tokens", body)
    send(cloud, "POST", "/identity/v3/auth/tokens", {"auth": body})
    send(cloud, "POST", "/identity/v3/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": body}}})
