"""Who sees what, and who may what."""

import pytest

from kuryr.openstack import errors

from .bed import NOBODY, Bed

PORTS = "/v2.0/ports"
UNAUTHENTICATED = {
    "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }
}


async def test_without_a_token_that_is_good_nothing_is_answered(bed: Bed) -> None:
    for headers in ({}, {"X_Auth_Token": "bad"}):
        reply = await bed.ask("", "GET", PORTS, **headers)
        assert (reply.status, reply.body) == (401, UNAUTHENTICATED)
        assert reply.headers["www-authenticate"].startswith("Keystone uri=")


async def test_what_belongs_to_another_project_is_not_there(bed: Bed) -> None:
    network, subnet = await bed.pods()
    port = await bed.make("ports", {"network_id": network})
    for path, text in (
        (f"/v2.0/networks/{network}", f"Network {network} could not be found."),
        (f"/v2.0/subnets/{subnet}", f"Subnet {subnet} could not be found."),
        (f"{PORTS}/{port['id']}", f"Port {port['id']} could not be found."),
    ):
        reply = await bed.ask("stranger", "GET", path)
        assert (reply.status, reply.refusal[2]) == (404, text)
    assert (await bed.ask("stranger", "GET", PORTS, query={"network_id": network})).body == {"ports": []}
    assert (await bed.ask("stranger", "DELETE", f"{PORTS}/{port['id']}")).status == 404
    assert (await bed.create("ports", {"network_id": network}, "stranger")).refusal[:2] == (404, "NetworkNotFound")


async def test_a_mere_member_sees_no_binding_and_may_not_ask_for_one(bed: Bed) -> None:
    network, subnet = await bed.pods()
    port = await bed.make("ports", {"network_id": network}, "member")
    shown = {name for name in port if name.startswith("binding:")}
    assert shown == {"binding:vnic_type"}
    seen = (await bed.ask("member", "GET", f"{PORTS}/{port['id']}")).body["port"]
    assert {name for name in seen if name.startswith("binding:")} == {"binding:vnic_type"}
    with pytest.raises(errors.Unauthorised) as refused:
        await (await bed.neutron("member")).create_port(bed.port_request(network, subnet))
    text = "rule:create_port:binding:host_id) is disallowed by policy"
    assert (refused.value.status, refused.value.reason) == (403, "PolicyNotAuthorized")
    assert text in str(refused.value)


async def test_a_member_makes_no_network_for_everybody_and_none_of_a_provider(bed: Bed) -> None:
    reply = await bed.create("networks", {"name": "x", "shared": True}, "member")
    text = "(rule:create_network and rule:create_network:shared) is disallowed by policy"
    assert reply.refusal == (403, "PolicyNotAuthorized", text)
    provider = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}
    reply = await bed.create("networks", {"name": "x", **provider}, "member")
    text = "((rule:create_network and rule:create_network:provider:network_type) and "
    text += "rule:create_network:provider:physical_network) is disallowed by policy"
    assert reply.refusal == (403, "PolicyNotAuthorized", text)


async def test_a_mere_member_changes_no_binding_and_no_mac(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network}, "member")

    async def refusal(**changes: object) -> tuple[int, str, str]:
        return (await bed.ask("member", "PUT", f"{PORTS}/{port['id']}", {"port": changes})).refusal

    host, mac = {"binding:host_id": bed.place.host}, {"mac_address": bed.mac()}
    text = "(rule:update_port and rule:update_port:binding:host_id) is disallowed by policy"
    assert await refusal(**host) == (403, "PolicyNotAuthorized", text)
    text = "(rule:update_port and rule:update_port:mac_address) is disallowed by policy"
    assert await refusal(**mac) == (403, "PolicyNotAuthorized", text)
    text = "((rule:update_port and rule:update_port:mac_address) and rule:update_port:binding:host_id) "
    text += "is disallowed by policy"
    assert await refusal(**host, **mac) == (403, "PolicyNotAuthorized", text)


async def test_nothing_is_made_for_another_project(bed: Bed) -> None:
    network, _ = await bed.pods()
    project = await bed.project("stranger")
    reply = await bed.create("ports", {"network_id": network, "project_id": project}, "member")
    text = (
        "Specifying 'project_id' other than the authenticated project in request is not allowed for the current user."
    )
    assert reply.refusal == (400, "HTTPBadRequest", text)


async def test_a_reader_sees_and_changes_nothing(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network})
    path = f"{PORTS}/{port['id']}"
    assert (await bed.ask("reader", "GET", path)).status == 200
    for reply, rule in (
        (await bed.create("ports", {"network_id": network}, "reader"), "create_port"),
        (await bed.ask("reader", "PUT", path, {"port": {"name": "x"}}), "update_port"),
        (await bed.ask("reader", "DELETE", path), "delete_port"),
        (await bed.create("networks", {"name": "x"}, "reader"), "create_network"),
        (await bed.create("security-groups", {"name": "x"}, "reader"), "create_security_group"),
    ):
        assert reply.refusal == (403, "PolicyNotAuthorized", f"rule:{rule} is disallowed by policy")


async def test_the_role_service_sees_others_networks_but_no_groups_and_no_routers(bed: Bed) -> None:
    network, subnet = await bed.network("10.79.0.0/24", "stranger")
    group = await bed.make("security-groups", {"name": "contract"}, "stranger")
    router = await bed.make("routers", {"name": "contract"}, "stranger")
    for path in (f"networks/{network}", f"subnets/{subnet}"):
        assert (await bed.ask("kuryr", "GET", f"/v2.0/{path}")).status == 200
        text = f"rule:delete_{path.partition('/')[0][:-1]} is disallowed by policy"
        assert (await bed.ask("kuryr", "DELETE", f"/v2.0/{path}")).refusal == (403, "PolicyNotAuthorized", text)
    hidden = (404, "HTTPNotFound", "The resource could not be found.")
    for path in (f"security-groups/{group['id']}", f"routers/{router['id']}"):
        assert (await bed.ask("kuryr", "GET", f"/v2.0/{path}")).refusal == hidden
        assert (await bed.ask("kuryr", "DELETE", f"/v2.0/{path}")).refusal == hidden
    pods, _ = await bed.pods()
    reply = await bed.create("ports", {"network_id": pods, "security_groups": [group["id"]]})
    assert reply.refusal == (404, "SecurityGroupNotFound", f"Security group {group['id']} does not exist")
    rule = {"security_group_id": group["id"], "direction": "ingress"}
    text = "rule:create_security_group_rule is disallowed by policy"
    assert (await bed.create("security-group-rules", rule)).refusal == (403, "PolicyNotAuthorized", text)


async def test_the_role_service_reaches_every_projects_ports(bed: Bed) -> None:
    """So what is deleted must be asked by owner, not left to the policy."""
    network, _ = await bed.network("10.79.0.0/24", "stranger")
    port = await bed.make("ports", {"network_id": network}, "stranger")
    found = await (await bed.neutron()).fetch_ports(network_id=network)
    assert [one.id for one in found] == [port["id"]]
    assert (await bed.ask("kuryr", "DELETE", f"{PORTS}/{port['id']}")).status == 204


async def test_an_administrator_sees_the_chassis_and_others_see_none(bed: Bed) -> None:
    agents = (await bed.ask("admin", "GET", "/v2.0/agents")).body["agents"]
    (ours,) = [one for one in agents if one["host"] == bed.place.host]
    assert (ours["alive"], ours["binary"]) == (True, "ovn-controller")
    assert ours["agent_type"].startswith("OVN Controller")
    assert (await bed.ask("kuryr", "GET", "/v2.0/agents")).body == {"agents": []}


async def test_what_neutron_does_not_serve_is_not_found(bed: Bed) -> None:
    text = "The resource could not be found."
    for path in ("/v2.0/nothing", f"{PORTS}/{NOBODY}/nothing"):
        assert (await bed.ask("kuryr", "GET", path)).refusal == (404, "HTTPNotFound", text)


async def test_a_filter_or_an_order_that_there_is_not_is_refused(bed: Bed) -> None:
    async def refusal(**query: object) -> tuple[int, str, str]:
        return (await bed.ask("kuryr", "GET", PORTS, query=query)).refusal

    assert await refusal(colour="red") == (400, "HTTPBadRequest", "['colour'] is invalid attribute for filtering")
    text = "Invalid input for operation: 'rubbish' cannot be converted to boolean."
    assert await refusal(admin_state_up="rubbish") == (400, "InvalidInput", text)
    text = "Bad limit request: Limit must be an integer 0 or greater and not 'x'."
    assert await refusal(limit="x") == (400, "BadRequest", text)
    assert await refusal(limit=2, marker=NOBODY) == (404, "PortNotFound", f"Port {NOBODY} could not be found.")
    text = "The number of sort_keys and sort_dirs must be same"
    assert await refusal(sort_key="name") == (400, "HTTPBadRequest", text)
