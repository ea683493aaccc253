"""Quotas: what a project may have and has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kuryr.openstack import errors

from .bed import Bed


@asynccontextmanager
async def limited(bed: Bed, **limits: int) -> AsyncIterator[None]:
    """The project of kuryr may have so many more than it has."""
    path = f"/v2.0/quotas/{await bed.project('kuryr')}"
    details = (await bed.ask("kuryr", "GET", f"{path}/details")).body["quota"]
    quota = {name: details[name]["used"] + more for name, more in limits.items()}
    assert (await bed.ask("admin", "PUT", path, {"quota": quota})).status == 200
    try:
        yield
    finally:
        assert (await bed.ask("admin", "DELETE", path)).status == 204


async def test_a_project_that_has_what_it_may_gets_no_more(bed: Bed) -> None:
    network, subnet = await bed.pods()
    async with limited(bed, port=1, network=0, security_group=0):
        neutron = await bed.neutron()
        port = await neutron.create_port(bed.port_request(network, subnet))
        bed.forget_on_exit("ports", port.id)
        with pytest.raises(errors.QuotaExceeded) as refused:
            await neutron.create_port(bed.port_request(network, subnet))
        assert "Quota exceeded for resources: ['port']." in str(refused.value)
        reply = await bed.create("networks", {"name": "contract"})
        assert reply.refusal == (409, "OverQuota", "Quota exceeded for resources: ['network'].")
        reply = await bed.create("security-groups", {"name": "contract"})
        assert reply.refusal == (409, "OverQuota", "Quota exceeded for resources: ['security_group'].")
        await neutron.delete_port(port.id)
        again = await neutron.create_port(bed.port_request(network, subnet))
        bed.forget_on_exit("ports", again.id)


async def test_of_several_that_are_too_many_together_none_is_made(bed: Bed) -> None:
    network, _ = await bed.network()
    async with limited(bed, port=1):
        reply = await bed.create("ports", [{"network_id": network}, {"network_id": network}])
        assert reply.refusal == (409, "OverQuota", "Quota exceeded for resources: ['port'].")
        assert await (await bed.neutron()).fetch_ports(network_id=network) == ()


async def test_a_project_sees_its_limits_and_what_is_used(bed: Bed) -> None:
    network, _ = await bed.network()
    path = f"/v2.0/quotas/{await bed.project('kuryr')}"
    before = (await bed.ask("kuryr", "GET", f"{path}/details.json")).body["quota"]
    await bed.make("ports", {"network_id": network})
    after = (await bed.ask("kuryr", "GET", f"{path}/details.json")).body["quota"]
    assert after["port"] == {"limit": -1, "used": before["port"]["used"] + 1, "reserved": 0}
    assert after["network"]["used"] == before["network"]["used"]
    limits = (await bed.ask("kuryr", "GET", path)).body["quota"]
    assert limits == {
        "network": -1,
        "subnet": -1,
        "subnetpool": -1,
        "port": -1,
        "router_route": 30,
        "router": -1,
        "floatingip": -1,
        "rbac_policy": 10,
        "security_group": -1,
        "security_group_rule": -1,
        "trunk": -1,
    }
    assert (await bed.ask("kuryr", "GET", f"{path}/default")).body["quota"] == limits


async def test_only_an_administrator_sees_others_limits_and_changes_any(bed: Bed) -> None:
    own, other = await bed.project("kuryr"), await bed.project("stranger")
    reply = await bed.ask("kuryr", "GET", f"/v2.0/quotas/{other}")
    assert reply.refusal == (403, "PolicyNotAuthorized", "rule:get_quota is disallowed by policy")
    reply = await bed.ask("kuryr", "PUT", f"/v2.0/quotas/{own}", {"quota": {"port": 5}})
    assert reply.refusal == (403, "PolicyNotAuthorized", "rule:update_quota is disallowed by policy")
    assert (await bed.ask("admin", "GET", f"/v2.0/quotas/{other}")).status == 200


async def test_a_quota_that_makes_no_sense_is_refused(bed: Bed) -> None:
    network, _ = await bed.pods()
    await bed.make("ports", {"network_id": network})
    path = f"/v2.0/quotas/{await bed.project('kuryr')}"

    async def refusal(**quota: object) -> tuple[int, str, str]:
        return (await bed.ask("admin", "PUT", path, {"quota": quota})).refusal

    assert await refusal(port="x") == (400, "InvalidInput", "Invalid input for operation: 'x' is not an integer.")
    assert await refusal(colour=1) == (400, "HTTPBadRequest", "Unrecognized attribute(s) 'colour'")
    text = "Invalid input for port. Reason: '-2' is too small - must be at least '-1'."
    assert await refusal(port=-2) == (400, "HTTPBadRequest", text)
    used = (await bed.ask("kuryr", "GET", f"{path}/details")).body["quota"]["port"]["used"]
    text = f"Quota limit 0 for port must be greater than or equal to already used {used}"
    assert await refusal(port=0) == (400, "HTTPBadRequest", text)
    project = await bed.project("kuryr")
    text = f"Quota for project {project} could not be found."
    assert (await bed.ask("admin", "DELETE", path)).refusal == (404, "TenantQuotaNotFound", text)
    forced = await bed.ask("admin", "PUT", path, {"quota": {"port": 0, "force": True}})
    assert (forced.status, forced.body["quota"]["port"]) == (200, 0)
    assert (await bed.ask("admin", "DELETE", path)).status == 204
