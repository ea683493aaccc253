"""The product's own way to a cloud, keystoneauth and aiohttp, on the simulated one over HTTP."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kuryr.openstack import errors
from kuryr.openstack.clouds import Cloud as Config
from kuryr.openstack.neutron import Neutron
from kuryr.openstack.session import HttpExchange, KeystoneToken, Session
from kuryr.simulator.first_look import PASSWORD, furnish
from kuryr.simulator.http import HttpCloud


@asynccontextmanager
async def neutron_of(config: Config) -> AsyncIterator[Neutron]:
    exchange = HttpExchange(config)
    try:
        yield Neutron(Session(KeystoneToken(config), exchange, "network", user_agent="test/1"), timeout_s=10)
    finally:
        await exchange.close()


async def test_the_catalog_leads_to_neutron_and_lost_tokens_are_renewed() -> None:
    async with HttpCloud(furnish(random.Random(1))) as server:
        config = server.config("kuryr", PASSWORD, "kubernetes")
        identity = await KeystoneToken(config).fetch_identity()
        assert (identity.project, set(identity.roles or ())) == ("kubernetes", {"member", "reader", "service"})
        async with neutron_of(config) as neutron:
            assert (await neutron.fetch_network("pods")).name == "pods"
            server.cloud.tokens.revoke_all()
            assert (await neutron.fetch_security_group("kuryr-pods")).name == "kuryr-pods"


async def test_an_application_credential_is_as_good_as_a_password_until_it_is_deleted() -> None:
    async with HttpCloud(furnish(random.Random(1))) as server:
        cloud = server.cloud
        user, project = cloud.identity.user_named("kuryr"), cloud.identity.project_named("kubernetes")
        assert user is not None
        assert project is not None
        made = cloud.identity.add_credential("ours", user.id, project.id, ("member", "service"))
        auth = {
            "auth_url": f"{server.url}/identity/v3",
            "application_credential_id": made.id,
            "application_credential_secret": made.secret,
        }
        config = Config("test", auth, auth_type="v3applicationcredential", region="RegionOne")
        async with neutron_of(config) as neutron:
            assert (await neutron.fetch_network("pods")).name == "pods"
            del cloud.identity.credentials[made.id]
            cloud.tokens.revoke_all()
            with pytest.raises(errors.OpenStackError):
                await neutron.fetch_network("pods")


async def test_an_answer_takes_as_long_as_it_is_told() -> None:
    async with HttpCloud(furnish(random.Random(1)), latency=lambda method, path, body: 0.2) as server:
        exchange = HttpExchange(server.config("kuryr", PASSWORD, "kubernetes"))
        began = time.monotonic()
        answer = await exchange("GET", f"{server.url}/network/", {}, b"", 5)
        await exchange.close()
    assert answer.status == 200
    assert time.monotonic() - began >= 0.2


async def test_what_is_neither_service_is_not_found() -> None:
    async with HttpCloud(furnish(random.Random(1))) as server:
        exchange = HttpExchange(server.config("kuryr", PASSWORD, "kubernetes"))
        answer = await exchange("GET", f"{server.url}/compute/v2.1", {}, b"", 5)
        await exchange.close()
    assert answer.status == 404
