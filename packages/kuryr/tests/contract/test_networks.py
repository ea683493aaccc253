"""Networks, subnets and their pools, routers."""

import pytest

from .bed import NOBODY, Bed


async def test_a_network_shows_all_its_fields_and_which_subnets_it_has(bed: Bed) -> None:
    network, subnet = await bed.network()
    shown = (await bed.ask("kuryr", "GET", f"/v2.0/networks/{network}")).body["network"]
    project = await bed.project("kuryr")
    assert shown.pop("created_at") <= shown.pop("updated_at")
    assert shown == {
        "id": network,
        "name": "contract",
        "tenant_id": project,
        "project_id": project,
        "admin_state_up": True,
        "mtu": 1500,
        "status": "ACTIVE",
        "subnets": [subnet],
        "shared": False,
        "availability_zone_hints": [],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "router:external": False,
        "qinq": False,
        "vlan_transparent": False,
        "description": "",
        "port_security_enabled": True,
        "qos_policy_id": None,
        "l2_adjacency": True,
        "tags": [],
        "revision_number": 2,
    }


async def test_a_subnet_shows_all_its_fields(bed: Bed) -> None:
    network, subnet = await bed.network()
    shown = (await bed.ask("kuryr", "GET", f"/v2.0/subnets/{subnet}")).body["subnet"]
    project = await bed.project("kuryr")
    assert shown.pop("created_at") == shown.pop("updated_at")
    assert shown == {
        "id": subnet,
        "name": "",
        "tenant_id": project,
        "project_id": project,
        "network_id": network,
        "ip_version": 4,
        "subnetpool_id": None,
        "enable_dhcp": True,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "gateway_ip": "10.77.0.1",
        "cidr": "10.77.0.0/29",
        "allocation_pools": [{"start": "10.77.0.2", "end": "10.77.0.6"}],
        "host_routes": [],
        "dns_nameservers": [],
        "description": "",
        "router:external": False,
        "service_types": [],
        "tags": [],
        "revision_number": 0,
    }


async def test_the_mtu_of_a_network_is_what_the_cloud_carries_or_less(bed: Bed) -> None:
    less = await bed.make("networks", {"name": "contract", "mtu": 1400})
    assert less["mtu"] == 1400
    reply = await bed.create("networks", {"name": "contract", "mtu": 9000})
    text = "Invalid input for operation: Requested MTU is too big, maximum is 1500."
    assert reply.refusal == (400, "InvalidInput", text)


async def test_a_subnet_that_cannot_be_is_refused(bed: Bed) -> None:
    network, _ = await bed.network()

    async def refusal(**wanted: object) -> tuple[int, str, str]:
        return (await bed.create("subnets", {"network_id": network, "ip_version": 4, **wanted})).refusal

    text = f"Requested subnet with cidr: 10.77.0.0/28 for network: {network} overlaps with another subnet"
    assert await refusal(cidr="10.77.0.0/28") == (400, "InvalidInput", f"Invalid input for operation: {text}.")
    text = "Invalid input for operation: rubbish is not in a CIDR format."
    assert await refusal(cidr="rubbish") == (400, "InvalidInput", text)
    text = "Bad subnets request: a subnetpool must be specified in the absence of a cidr."
    assert await refusal() == (400, "BadRequest", text)
    text = f"Network {NOBODY} could not be found."
    assert await refusal(network_id=NOBODY, cidr="10.78.0.0/28") == (404, "NetworkNotFound", text)
    text = "The allocation pool 10.99.0.50-10.99.0.60 spans beyond the subnet cidr 10.98.0.0/24."
    pool = {"start": "10.99.0.50", "end": "10.99.0.60"}
    assert await refusal(cidr="10.98.0.0/24", allocation_pools=[pool]) == (400, "OutOfBoundsAllocationPool", text)


async def test_ports_get_addresses_of_the_allocation_pools_and_of_each_family(bed: Bed) -> None:
    network = (await bed.make("networks", {"name": "contract"}))["id"]
    pool = {"start": "10.95.0.50", "end": "10.95.0.50"}
    four = {"network_id": network, "ip_version": 4, "cidr": "10.95.0.0/24", "gateway_ip": None}
    made = await bed.make("subnets", {**four, "enable_dhcp": False, "allocation_pools": [pool]})
    assert (made["gateway_ip"], made["allocation_pools"]) == (None, [pool])
    six = await bed.make("subnets", {"network_id": network, "ip_version": 6, "cidr": "fd77::/64"})
    assert six["gateway_ip"] == "fd77::"
    assert six["allocation_pools"] == [{"start": "fd77::1", "end": "fd77::ffff:ffff:ffff:ffff"}]
    port = await bed.make("ports", {"network_id": network})
    assert [one["subnet_id"] for one in port["fixed_ips"]] == [made["id"], six["id"]]
    assert port["fixed_ips"][0]["ip_address"] == "10.95.0.50"
    assert (await bed.create("ports", {"network_id": network})).refusal[1] == "IpAddressGenerationFailure"
    alone = await bed.make("ports", {"network_id": network, "fixed_ips": [{"subnet_id": six["id"]}]})
    assert [one["subnet_id"] for one in alone["fixed_ips"]] == [six["id"]]


async def test_a_port_where_addresses_come_by_slaac_has_the_one_of_its_mac(bed: Bed) -> None:
    network = (await bed.make("networks", {"name": "contract"}))["id"]
    slaac = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
    subnet = await bed.make("subnets", {"network_id": network, "ip_version": 6, "cidr": "fd78::/64", **slaac})
    port = await bed.make("ports", {"network_id": network, "mac_address": "02:00:00:00:00:99"})
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "fd78::ff:fe00:99"}]


async def test_what_is_in_use_is_not_deleted(bed: Bed) -> None:
    network, subnet = await bed.network()
    port = await bed.make("ports", {"network_id": network})
    text = (
        f"Unable to complete operation on network {network}. There are one or more ports still in use on the network, "
    )
    text += f"id for these ports is: {port['id']}."
    assert (await bed.ask("kuryr", "DELETE", f"/v2.0/networks/{network}")).refusal == (409, "NetworkInUse", text)
    text = f"Unable to complete operation on subnet {subnet}: One or more ports have an IP allocation from this subnet."
    assert (await bed.ask("kuryr", "DELETE", f"/v2.0/subnets/{subnet}")).refusal == (409, "SubnetInUse", text)
    await (await bed.neutron()).delete_port(port["id"])
    assert (await bed.ask("kuryr", "DELETE", f"/v2.0/networks/{network}")).status == 204
    assert (await bed.ask("kuryr", "GET", f"/v2.0/subnets/{subnet}")).status == 404


async def test_a_subnet_pool_gives_each_subnet_a_piece_until_it_has_none(bed: Bed) -> None:
    lengths = {"default_prefixlen": 24, "min_prefixlen": 24, "max_prefixlen": 28}
    pool = await bed.make("subnetpools", {"name": "contract", "prefixes": ["10.90.0.0/23"], **lengths})
    assert (pool["default_prefixlen"], pool["min_prefixlen"], pool["max_prefixlen"]) == ("24", "24", "28")
    network = (await bed.make("networks", {"name": "contract"}))["id"]
    wanted = {"network_id": network, "ip_version": 4, "subnetpool_id": pool["id"]}
    cidrs = [(await bed.make("subnets", wanted))["cidr"] for _ in range(2)]
    assert cidrs == ["10.90.0.0/24", "10.90.1.0/24"]
    text = "Failed to allocate subnet: Insufficient prefix space to allocate subnet size /24."
    assert (await bed.create("subnets", wanted)).refusal == (500, "SubnetAllocationError", text)
    text = "Unable to allocate subnet with prefix length 20, minimum allowed prefix is 24."
    reply = await bed.create("subnets", {**wanted, "prefixlen": 20})
    assert reply.refusal == (400, "MinPrefixSubnetAllocationError", text)
    reply = await bed.create("subnets", {"network_id": network, "ip_version": 4, "cidr": "10.95.0.0/24"})
    text = "Subnets hosted on the same network must be allocated from the same subnet pool."
    assert reply.refusal == (400, "NetworkSubnetPoolAffinityError", text)
    text = "Unable to delete subnet pool: Subnet pool has existing allocations."
    reply = await bed.ask("kuryr", "DELETE", f"/v2.0/subnetpools/{pool['id']}")
    assert reply.refusal == (400, "SubnetPoolDeleteError", text)


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        ({"prefixes": ["x"]}, ("HTTPBadRequest", "Invalid input for prefixes. Reason: 'x' is not a valid IP subnet.")),
        ({}, ("HTTPBadRequest", "Failed to parse request. Required attribute 'prefixes' not specified")),
        (
            {"prefixes": ["10.0.0.0/16", "fd00::/64"]},
            ("PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."),
        ),
        (
            {"prefixes": ["10.0.0.0/16"], "min_prefixlen": 24, "max_prefixlen": 20},
            ("IllegalSubnetPoolPrefixBounds", "Illegal prefix bounds: min_prefixlen=24, max_prefixlen=20."),
        ),
    ],
)
async def test_a_subnet_pool_that_cannot_be_is_refused(
    bed: Bed, wanted: dict[str, object], refusal: tuple[str, str]
) -> None:
    reply = await bed.create("subnetpools", {"name": "contract", **wanted})
    assert reply.refusal == (400, *refusal)


async def test_a_router_has_a_port_on_each_of_its_subnets_and_keeps_them(bed: Bed) -> None:
    network, subnet = await bed.network()
    router = await bed.make("routers", {"name": "contract"})
    path = f"/v2.0/routers/{router['id']}"
    reply = await bed.ask("kuryr", "PUT", f"{path}/add_router_interface", {"subnet_id": subnet})
    interface = reply.body
    assert interface == {
        "id": router["id"],
        "project_id": await bed.project("kuryr"),
        "port_id": interface["port_id"],
        "network_id": network,
        "subnet_id": subnet,
        "subnet_ids": [subnet],
    }
    port = (await bed.ask("kuryr", "GET", f"/v2.0/ports/{interface['port_id']}")).body["port"]
    assert (port["device_owner"], port["device_id"]) == ("network:router_interface", router["id"])
    assert port["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.77.0.1"}]
    assert (port["security_groups"], port["status"]) == ([], "ACTIVE")
    text = f"Port {port['id']} cannot be deleted directly via the port API: has device owner network:router_interface."
    assert (await bed.ask("kuryr", "DELETE", f"/v2.0/ports/{port['id']}")).refusal == (409, "ServicePortInUse", text)
    text = f"Router {router['id']} has ports still attached: {port['id']}"
    assert (await bed.ask("kuryr", "DELETE", path)).refusal == (409, "RouterInUse", text)
    assert (await bed.ask("kuryr", "DELETE", f"/v2.0/subnets/{subnet}")).refusal[:2] == (409, "SubnetInUse")
    text = f"Cidr 10.77.0.0/29 of subnet {subnet} overlaps with cidr 10.77.0.0/29 of subnet {subnet}."
    reply = await bed.ask("kuryr", "PUT", f"{path}/add_router_interface", {"subnet_id": subnet})
    assert reply.refusal == (400, "BadRequest", f"Bad router request: {text}")
    reply = await bed.ask("kuryr", "PUT", f"{path}/remove_router_interface", {"subnet_id": subnet})
    assert (reply.status, reply.body["port_id"]) == (200, port["id"])
    text = f"Router {router['id']} has no interface on subnet {subnet}"
    reply = await bed.ask("kuryr", "PUT", f"{path}/remove_router_interface", {"subnet_id": subnet})
    assert reply.refusal == (404, "RouterInterfaceNotFoundForSubnet", text)
    text = "Bad router request: Either subnet_id or port_id must be specified."
    assert (await bed.ask("kuryr", "PUT", f"{path}/add_router_interface", {})).refusal == (400, "BadRequest", text)


async def test_a_router_has_its_gateway_on_an_external_network_only(bed: Bed) -> None:
    inside, _ = await bed.network()
    router = await bed.make("routers", {"name": "contract"})
    path = f"/v2.0/routers/{router['id']}"
    outside = (await bed.ask("kuryr", "GET", "/v2.0/networks", query={"router:external": "True"})).body["networks"][0]
    reply = await bed.ask("kuryr", "PUT", path, {"router": {"external_gateway_info": {"network_id": outside["id"]}}})
    gateway = reply.body["router"]["external_gateway_info"]
    assert (gateway["network_id"], gateway["enable_snat"]) == (outside["id"], True)
    (address,) = gateway["external_fixed_ips"]
    assert address["subnet_id"] == outside["subnets"][0]
    reply = await bed.ask("kuryr", "PUT", path, {"router": {"external_gateway_info": {"network_id": inside}}})
    text = f"Bad router request: Network {inside} is not an external network."
    assert reply.refusal == (400, "BadRequest", text)
    reply = await bed.ask("kuryr", "PUT", path, {"router": {"external_gateway_info": None}})
    assert reply.body["router"]["external_gateway_info"] is None
    text = f"Router {NOBODY} could not be found"
    assert (await bed.ask("kuryr", "GET", f"/v2.0/routers/{NOBODY}")).refusal == (404, "RouterNotFound", text)
