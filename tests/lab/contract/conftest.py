"""The contract on the lab's real Keystone and Neutron: what the simulated ones are held to."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from packages.kuryr.tests.contract.bed import Bed, Place, bed_of, remove_pods

from kuryr.lab.lab import Lab
from kuryr.lab.layout import PASSWORD
from kuryr.lab.openstack_api import KEYSTONE_URL, NEUTRON_URL, Api
from kuryr.openstack.clouds import Cloud
from kuryr.openstack.session import Exchange, HttpExchange

_USERS = {
    "admin": ("admin", "admin"),
    "kuryr": ("kuryr", "kubernetes"),
    "member": ("contract-member", "kubernetes"),
    "reader": ("contract-reader", "kubernetes"),
    "stranger": ("contract-stranger", "contract-elsewhere"),
}
_ROLES = {"member": "member", "reader": "reader", "stranger": "member"}
"""Of the users that only the contract has."""


@pytest.fixture(scope="session")
def place(running_lab: Lab) -> Iterator[Place]:
    api = Api("admin", "admin")
    for who, role in _ROLES.items():
        api.ensure_user(*_USERS[who], role)

    @asynccontextmanager
    async def over_http() -> AsyncIterator[Exchange]:
        exchange = HttpExchange(Cloud("lab", {}))
        try:
            yield exchange
        finally:
            await exchange.close()

    host = running_lab.layout.nodes[0].ovs_hostname
    place = Place(KEYSTONE_URL, NEUTRON_URL, over_http, PASSWORD, _USERS, host)
    try:
        yield place
        asyncio.run(remove_pods(place))
    finally:
        _remove_users(api)


def _remove_users(api: Api) -> None:
    for who in _ROLES:
        for user in api.call("GET", f"{KEYSTONE_URL}/users?name={_USERS[who][0]}")["users"]:
            api.call("DELETE", f"{KEYSTONE_URL}/users/{user['id']}")
    for project in api.call("GET", f"{KEYSTONE_URL}/projects?name={_USERS['stranger'][1]}")["projects"]:
        for group in api.call("GET", f"{NEUTRON_URL}/v2.0/security-groups?project_id={project['id']}")[
            "security_groups"
        ]:
            api.call("DELETE", f"{NEUTRON_URL}/v2.0/security-groups/{group['id']}")
        api.call("DELETE", f"{KEYSTONE_URL}/projects/{project['id']}")


@pytest.fixture
async def bed(place: Place) -> AsyncIterator[Bed]:
    async with bed_of(place) as bed:
        yield bed
