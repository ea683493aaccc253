"""Changes: what a PUT changes, revision numbers, tags, and who may."""

from .bed import NOBODY, Bed

PORTS = "/v2.0/ports"


async def test_a_change_counts_the_revision_and_a_stale_one_is_refused(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network})
    path, change = f"{PORTS}/{port['id']}", {"port": {"name": "x"}}
    reply = await bed.ask("kuryr", "PUT", path, change, If_Match="revision_number=999")
    assert reply.refusal == (
        412,
        "RevisionNumberConstraintFailed",
        f"Constrained to 999, but current revision is {port['revision_number']}",
    )
    reply = await bed.ask("kuryr", "PUT", path, change, If_Match=f"revision_number={port['revision_number']}")
    assert (reply.status, reply.body["port"]["name"]) == (200, "x")
    assert reply.body["port"]["revision_number"] > port["revision_number"]
    reply = await bed.ask("kuryr", "DELETE", path, If_Match=f"revision_number={port['revision_number']}")
    assert reply.refusal[:2] == (412, "RevisionNumberConstraintFailed")
    assert (await bed.ask("kuryr", "GET", path)).status == 200


async def test_another_host_binds_a_port_anew_and_none_unbinds_it(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network})

    async def binding(host: str) -> tuple[str, str, str]:
        reply = await bed.ask("kuryr", "PUT", f"{PORTS}/{port['id']}", {"port": {"binding:host_id": host}})
        found = reply.body["port"]
        return found["binding:host_id"], found["binding:vif_type"], found["status"]

    assert await binding(bed.place.host) == (bed.place.host, "ovs", "DOWN")
    assert await binding("nowhere") == ("nowhere", "binding_failed", "DOWN")
    assert await binding(bed.place.host) == (bed.place.host, "ovs", "DOWN")
    assert await binding("") == ("", "unbound", "DOWN")


async def test_the_mac_of_a_port_changes_only_while_it_is_not_bound(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network, "mac_address": bed.mac(), "binding:host_id": bed.place.host})
    path, mac = f"{PORTS}/{port['id']}", bed.mac()
    reply = await bed.ask("kuryr", "PUT", path, {"port": {"mac_address": mac}})
    text = f"Unable to complete operation on port {port['id']}, port is already bound, port type: ovs, "
    text += f"old_mac {port['mac_address']}, new_mac {mac}."
    assert reply.refusal == (409, "PortBound", text)
    await bed.ask("kuryr", "PUT", path, {"port": {"binding:host_id": ""}})
    reply = await bed.ask("kuryr", "PUT", path, {"port": {"mac_address": mac}})
    assert reply.body["port"]["mac_address"] == mac
    again = await bed.make("ports", {"network_id": network, "mac_address": port["mac_address"]})
    reply = await bed.ask("kuryr", "PUT", path, {"port": {"mac_address": again["mac_address"]}})
    assert reply.refusal[:2] == (409, "MacAddressInUse")


async def test_addresses_of_a_port_are_changed_all_or_none_and_kept_where_they_do(bed: Bed) -> None:
    network, subnet = await bed.network()
    port = await bed.make("ports", {"network_id": network})
    other = await bed.make("ports", {"network_id": network})
    path = f"{PORTS}/{port['id']}"

    async def put(*fixed: dict[str, str]) -> object:
        reply = await bed.ask("kuryr", "PUT", path, {"port": {"fixed_ips": list(fixed)}})
        return reply.body["port"]["fixed_ips"] if reply.status == 200 else reply.refusal[:2]

    assert await put({"subnet_id": subnet}) == port["fixed_ips"]
    assert await put(other["fixed_ips"][0]) == (409, "IpAddressAlreadyAllocated")
    assert await put(*[{"subnet_id": subnet}] * 5) == (409, "IpAddressGenerationFailure")
    assert (await bed.ask("kuryr", "GET", path)).body["port"]["fixed_ips"] == port["fixed_ips"]
    assert await put() == []
    again = await bed.make("ports", {"network_id": network, "fixed_ips": port["fixed_ips"]})
    assert again["fixed_ips"] == port["fixed_ips"]


async def test_what_may_not_change_is_refused(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network})

    async def refusal(**changes: object) -> tuple[int, str, str]:
        return (await bed.ask("kuryr", "PUT", f"{PORTS}/{port['id']}", {"port": changes})).refusal

    assert await refusal(network_id=network) == (400, "HTTPBadRequest", "Cannot update read-only attribute network_id")
    assert await refusal(colour="x") == (400, "HTTPBadRequest", "Unrecognized attribute(s) 'colour'")
    text = f"Security group {NOBODY} does not exist"
    assert await refusal(security_groups=[NOBODY]) == (404, "SecurityGroupNotFound", text)
    text = "Port has security group associated. Cannot disable port security or IP address until security group is "
    text += "removed."
    assert await refusal(port_security_enabled=False) == (409, "PortSecurityPortHasSecurityGroup", text)


async def test_an_address_pair_without_a_mac_gets_the_ports(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network, "allowed_address_pairs": [{"ip_address": "10.9.9.9"}]})
    assert port["allowed_address_pairs"] == [{"mac_address": port["mac_address"], "ip_address": "10.9.9.9"}]
    reply = await bed.create("ports", {"network_id": network, "allowed_address_pairs": [{"mac_address": bed.mac()}]})
    text = "AllowedAddressPair must contain ip_address"
    assert reply.refusal == (400, "AllowedAddressPairsMissingIP", text)


async def test_tags_are_ignored_in_a_create_and_put_afterwards(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network, "tags": ["early"]})
    path = f"{PORTS}/{port['id']}/tags"
    assert port["tags"] == []
    reply = await bed.ask("kuryr", "PUT", path, {"tags": ["a", "b"]})
    assert (reply.status, reply.body) == (200, {"tags": ["a", "b"]})
    assert (await bed.ask("kuryr", "PUT", f"{path}/c")).status == 201
    assert (await bed.ask("kuryr", "GET", f"{path}/c")).status == 204
    refusal = (404, "TagNotFound", "Tag z could not be found.")
    assert (await bed.ask("kuryr", "GET", f"{path}/z")).refusal == refusal
    assert (await bed.ask("kuryr", "DELETE", f"{path}/z")).refusal == refusal

    async def found(**query: str) -> list[str]:
        reply = await bed.ask("kuryr", "GET", PORTS, query={"id": port["id"], **query})
        return [one["id"] for one in reply.body["ports"]]

    there = [port["id"]]
    assert await found(tags="a,b") == there
    assert await found(tags="a,z") == []
    assert await found(**{"tags-any": "a,z"}) == there
    assert await found(**{"not-tags": "a"}) == []
    assert await found(**{"not-tags-any": "z"}) == there
    assert (await bed.ask("kuryr", "DELETE", f"{path}/a")).status == 204
    assert sorted((await bed.ask("kuryr", "GET", path)).body["tags"]) == ["b", "c"]
    assert (await bed.ask("kuryr", "DELETE", path)).status == 204
    reply = await bed.ask("kuryr", "PUT", path, {"tags": "a"})
    assert reply.refusal == (400, "InvalidInput", "Invalid input for operation: 'a' is not a list.")
