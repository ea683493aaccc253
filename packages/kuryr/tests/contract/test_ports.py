"""Ports: what is made, what is refused and in which words, what a list gives."""

import msgspec
import pytest

from kuryr.openstack import errors

from .bed import NOBODY, Bed

PORTS = "/v2.0/ports"


async def test_a_port_is_made_as_asked_bound_to_its_host_and_down_until_it_is_plugged(bed: Bed) -> None:
    network, subnet = await bed.network("10.77.0.0/24")
    wanted = bed.port_request(network, subnet)
    port = await (await bed.neutron()).create_port(wanted)
    bed.forget_on_exit("ports", port.id)
    assert (port.name, port.network_id, port.mac_address) == (wanted.name, network, wanted.mac_address)
    assert (port.device_owner, port.device_id) == (wanted.device_owner, wanted.device_id)
    assert (port.host_id, port.vif_type, port.status) == (bed.place.host, "ovs", "DOWN")
    assert [one.subnet_id for one in port.fixed_ips] == [subnet]


async def test_a_port_shows_all_its_fields_and_what_nobody_gave_has_its_default(bed: Bed) -> None:
    network, subnet = await bed.pods()
    port = await bed.make("ports", {"network_id": network})
    default = (await bed.ask("kuryr", "GET", "/v2.0/security-groups", query={"name": "default"})).body
    project = await bed.project("kuryr")
    mine = [group["id"] for group in default["security_groups"] if group["project_id"] == project]
    (address,) = port.pop("fixed_ips")
    assert address["subnet_id"] == subnet
    assert port.pop("mac_address").startswith("fa:16:3e:")
    assert port.pop("created_at") == port.pop("updated_at")
    assert len(port.pop("id")) == 36
    assert port == {
        "name": "",
        "network_id": network,
        "project_id": project,
        "tenant_id": project,
        "admin_state_up": True,
        "status": "DOWN",
        "device_id": "",
        "device_owner": "",
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "security_groups": mine,
        "description": "",
        "binding:vnic_type": "normal",
        "binding:profile": {},
        "binding:host_id": "",
        "binding:vif_type": "unbound",
        "binding:vif_details": {},
        "port_security_enabled": True,
        "qos_policy_id": None,
        "qos_network_policy_id": None,
        "propagate_uplink_status": True,
        "ip_allocation": "immediate",
        "tags": [],
        "revision_number": 1,
    }


async def test_the_binding_of_a_port_says_how_the_host_is_to_plug_it(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network, "binding:host_id": bed.place.host})
    assert port["binding:vif_details"] == {
        "port_filter": True,
        "connectivity": "l2",
        "ovs_create_tap": True,
        "bridge_name": "br-int",
        "datapath_type": "netdev",
        "bound_drivers": {"0": "ovn"},
    }
    assert port["revision_number"] == 3


async def test_a_port_on_a_host_that_neutron_does_not_know_is_made_and_its_binding_fails(bed: Bed) -> None:
    network, subnet = await bed.pods()
    port = await (await bed.neutron()).create_port(bed.port_request(network, subnet, host_id="nowhere"))
    bed.forget_on_exit("ports", port.id)
    assert (port.host_id, port.vif_type, port.status) == ("nowhere", "binding_failed", "DOWN")


async def test_a_mac_is_unique_in_its_network_and_the_port_that_has_it_is_found_by_it(bed: Bed) -> None:
    network, subnet = await bed.pods()
    neutron, wanted = await bed.neutron(), bed.port_request(network, subnet)
    port = await neutron.create_port(wanted)
    bed.forget_on_exit("ports", port.id)
    with pytest.raises(errors.Conflict) as refused:
        await neutron.create_port(wanted)
    text = f"Unable to complete operation for network {network}. The mac address {wanted.mac_address} is in use."
    assert (refused.value.status, refused.value.reason) == (409, "MacAddressInUse")
    assert text in str(refused.value)
    for mac in (wanted.mac_address, wanted.mac_address.upper()):
        (found,) = await neutron.fetch_ports(network_id=network, mac_address=mac)
        assert msgspec.to_builtins(found).items() <= msgspec.to_builtins(port).items()
    other, other_subnet = await bed.network()
    elsewhere = await neutron.create_port(bed.port_request(other, other_subnet, mac_address=wanted.mac_address))
    bed.forget_on_exit("ports", elsewhere.id)
    assert elsewhere.mac_address == wanted.mac_address


async def test_an_address_is_given_once_and_only_where_it_belongs(bed: Bed) -> None:
    network, subnet = await bed.network()
    port = await bed.make("ports", {"network_id": network})
    (held,) = port["fixed_ips"]

    async def refusal(**fixed: str) -> tuple[int, str, str]:
        return (await bed.create("ports", {"network_id": network, "fixed_ips": [fixed]})).refusal

    taken = (409, "IpAddressAlreadyAllocated", f"IP address {held['ip_address']} already allocated in subnet {subnet}")
    assert await refusal(ip_address=held["ip_address"]) == taken
    assert await refusal(**held) == taken
    text = "IP address 1.2.3.4 is not a valid IP for any of the subnets on the specified network."
    assert await refusal(ip_address="1.2.3.4") == (400, "InvalidIpForNetwork", text)
    text = "IP address {} is not a valid IP for the specified subnet."
    assert await refusal(subnet_id=subnet, ip_address="1.2.3.4") == (400, "InvalidIpForSubnet", text.format("1.2.3.4"))
    assert await refusal(subnet_id=subnet, ip_address="10.77.0.7") == (
        400,
        "InvalidIpForSubnet",
        text.format("10.77.0.7"),
    )
    assert await refusal(subnet_id=NOBODY) == (404, "SubnetNotFound", f"Subnet {NOBODY} could not be found.")
    gateway = await bed.make("ports", {"network_id": network, "fixed_ips": [{"ip_address": "10.77.0.1"}]})
    assert gateway["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.77.0.1"}]


async def test_a_full_subnet_refuses_and_an_address_given_back_is_given_again(bed: Bed) -> None:
    network, subnet = await bed.network()
    ports = [await bed.make("ports", {"network_id": network}) for _ in range(5)]
    assert sorted(port["fixed_ips"][0]["ip_address"] for port in ports) == [f"10.77.0.{last}" for last in range(2, 7)]
    with pytest.raises(errors.NoAddress) as full:
        await (await bed.neutron()).create_port(bed.port_request(network, subnet))
    assert full.value.reason == "IpAddressGenerationFailure"
    assert f"No more IP addresses available on network {network}." in str(full.value)
    await (await bed.neutron()).delete_port(ports[3]["id"])
    again = await bed.make("ports", {"network_id": network})
    assert again["fixed_ips"] == ports[3]["fixed_ips"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"network_id": None}, "Invalid input for network_id. Reason: 'None' is not a valid UUID."),
        ({"network_id": "x"}, "Invalid input for network_id. Reason: 'x' is not a valid UUID."),
        ({"mac_address": "zz"}, "Invalid input for mac_address. Reason: 'zz' is not a valid MAC address."),
        ({"colour": "red"}, "Unrecognized attribute(s) 'colour'"),
        ({"id": NOBODY}, "Attribute 'id' not allowed in POST"),
        ({"status": "ACTIVE"}, "Attribute 'status' not allowed in POST"),
        ({"name": 5}, "Invalid input for name. Reason: '5' is not a valid string."),
        ({"fixed_ips": [{"subnet_id": "x"}]}, "Invalid input for fixed_ips. Reason: 'x' is not a valid UUID."),
        ({"fixed_ips": [{"ip_address": "x"}]}, "Invalid input for fixed_ips. Reason: 'x' is not a valid IP address."),
        ({"security_groups": ["x"]}, "Invalid input for security_groups. Reason: 'x' is not a valid UUID."),
    ],
)
async def test_what_is_wrong_in_a_body_is_named(bed: Bed, changes: dict[str, object], text: str) -> None:
    network, _ = await bed.pods()
    reply = await bed.create("ports", {"network_id": network, **changes})
    assert reply.refusal == (400, "HTTPBadRequest", text)


async def test_a_body_that_is_none_is_refused(bed: Bed) -> None:
    replies = [await bed.ask("kuryr", "POST", PORTS, body) for body in (b"{", [1], None, {"network": {}}, {"port": {}})]
    assert [reply.refusal for reply in replies] == [
        (400, "HTTPBadRequest", "Body contains invalid data"),
        (400, "HTTPBadRequest", "Body contains invalid data"),
        (400, "HTTPBadRequest", "Unable to find 'port' in request body"),
        (400, "HTTPBadRequest", "Unable to find 'port' in request body"),
        (400, "HTTPBadRequest", "Failed to parse request. Required attribute 'network_id' not specified"),
    ]


async def test_what_a_port_names_must_be_there(bed: Bed) -> None:
    network, _ = await bed.pods()
    reply = await bed.create("ports", {"network_id": NOBODY})
    assert reply.refusal == (404, "NetworkNotFound", f"Network {NOBODY} could not be found.")
    reply = await bed.create("ports", {"network_id": network, "security_groups": [NOBODY]})
    assert reply.refusal == (404, "SecurityGroupNotFound", f"Security group {NOBODY} does not exist")


async def test_several_ports_in_one_create_are_made_all_or_none(bed: Bed) -> None:
    network, _ = await bed.network("10.77.0.0/28")
    held = await bed.make("ports", {"network_id": network, "mac_address": bed.mac()})
    macs = [bed.mac(), bed.mac()]
    reply = await bed.create(
        "ports", [{"network_id": network, "mac_address": mac} for mac in (macs[0], held["mac_address"])]
    )
    assert reply.refusal[:2] == (409, "MacAddressInUse")
    taken = held["fixed_ips"][0]["ip_address"]
    addresses = [{"ip_address": "10.77.0.14"}, {"ip_address": taken}]
    reply = await bed.create("ports", [{"network_id": network, "fixed_ips": [one]} for one in addresses])
    assert reply.refusal[:2] == (409, "IpAddressAlreadyAllocated")
    there = await (await bed.neutron()).fetch_ports(network_id=network)
    assert [port.id for port in there] == [held["id"]]
    reply = await bed.create("ports", [{"network_id": network, "mac_address": mac} for mac in macs])
    assert reply.status == 201
    assert [port["mac_address"] for port in reply.body["ports"]] == macs


async def test_a_filter_with_several_values_takes_each_and_different_filters_all_hold(bed: Bed) -> None:
    network, _ = await bed.network()
    one, two, three = [
        await bed.make("ports", {"network_id": network, "mac_address": bed.mac(), "device_owner": owner, "name": name})
        for owner, name in (("compute:a", "one"), ("compute:b", "two"), ("compute:b", "three"))
    ]

    async def found(**query: object) -> list[str]:
        reply = await bed.ask("kuryr", "GET", PORTS, query={"network_id": network, "fields": "name", **query})
        return sorted(port["name"] for port in reply.body["ports"])

    assert await found(mac_address=[one["mac_address"], two["mac_address"]]) == ["one", "two"]
    assert await found(device_owner="compute:b", mac_address=[one["mac_address"], two["mac_address"]]) == ["two"]
    assert await found(id=[one["id"], three["id"], NOBODY]) == ["one", "three"]
    assert await found(status="DOWN") == ["one", "three", "two"]
    assert await found(status="ACTIVE") == []
    assert await found(admin_state_up="True", name="two") == ["two"]
    assert await found(admin_state_up="False") == []
    assert await found(device_id="") == ["one", "three", "two"]
    assert await found(fixed_ips=f"ip_address={two['fixed_ips'][0]['ip_address']}") == ["two"]
    assert await found(fixed_ips=f"subnet_id={NOBODY}") == []
    assert await found(security_groups=one["security_groups"][0], name="one") == ["one"]


async def test_pages_follow_each_other_by_the_last_id_and_say_whether_there_is_more(bed: Bed) -> None:
    network, _ = await bed.network()
    reply = await bed.create("ports", [{"network_id": network, "name": name} for name in ("c", "a", "d", "b")])
    by_id = sorted(port["id"] for port in reply.body["ports"])

    async def page(**query: object) -> tuple[list[str], list[str]]:
        reply = await bed.ask("kuryr", "GET", PORTS, query={"network_id": network, "fields": ["id", "name"], **query})
        return [port["id"] for port in reply.body["ports"]], [one["rel"] for one in reply.body.get("ports_links", ())]

    assert await page() == (by_id, [])
    assert await page(limit=2) == (by_id[:2], ["next", "previous"])
    assert await page(limit=2, marker=by_id[1]) == (by_id[2:], ["next", "previous"])
    assert await page(limit=2, marker=by_id[3]) == ([], ["previous"])
    assert await page(limit=3, marker=by_id[1]) == (by_id[2:], ["previous"])
    assert await page(limit=5) == (by_id, ["previous"])
    reply = await bed.ask("kuryr", "GET", PORTS, query={"network_id": network, "sort_key": "name", "sort_dir": "desc"})
    assert [port["name"] for port in reply.body["ports"]] == ["d", "c", "b", "a"]


async def test_a_link_of_a_page_leads_to_the_next(bed: Bed) -> None:
    network, _ = await bed.network()
    await bed.create("ports", [{"network_id": network} for _ in range(3)])
    reply = await bed.ask("kuryr", "GET", PORTS, query={"network_id": network, "limit": 2})
    link = reply.body["ports_links"][0]
    assert link["href"].startswith(f"{bed.place.network}/v2.0/ports?")
    following = await bed.send("GET", link["href"], None, {"X-Auth-Token": await bed.token("kuryr")})
    seen = [port["id"] for one in (reply, following) for port in one.body["ports"]]
    assert len(set(seen)) == 3


async def test_the_fields_that_are_asked_for_are_shown_and_no_others(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network, "name": "x"})
    reply = await bed.ask("kuryr", "GET", f"{PORTS}/{port['id']}", query={"fields": ["id", "name", "colour"]})
    assert reply.body == {"port": {"id": port["id"], "name": "x"}}
    reply = await bed.ask("kuryr", "GET", PORTS, query={"id": port["id"], "fields": ["binding:host_id", "tags"]})
    assert reply.body == {"ports": [{"binding:host_id": "", "tags": []}]}


async def test_a_port_that_is_gone_is_not_found_and_deleting_it_again_is_done(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network})
    reply = await bed.ask("kuryr", "DELETE", f"{PORTS}/{port['id']}")
    assert (reply.status, reply.body) == (204, None)
    refusal = (404, "PortNotFound", f"Port {port['id']} could not be found.")
    for method, body in (("GET", None), ("PUT", {"port": {"name": "x"}}), ("DELETE", None)):
        assert (await bed.ask("kuryr", method, f"{PORTS}/{port['id']}", body)).refusal == refusal
    await (await bed.neutron()).delete_port(port["id"])


async def test_every_answer_says_the_request_id_of_the_service(bed: Bed) -> None:
    network, _ = await bed.pods()
    port = await bed.make("ports", {"network_id": network})
    for path in (PORTS, f"{PORTS}/{port['id']}", f"{PORTS}/{NOBODY}"):
        reply = await bed.ask("kuryr", "GET", path)
        assert reply.headers["x-openstack-request-id"].startswith("req-")
