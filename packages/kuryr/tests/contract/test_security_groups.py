"""Security groups and their rules."""

import pytest

from .bed import NOBODY, Bed

RULES = "/v2.0/security-group-rules"


async def test_a_new_group_lets_everything_out_and_nothing_in(bed: Bed) -> None:
    group = await bed.make("security-groups", {"name": "contract", "description": "d"})
    rules = (await bed.ask("kuryr", "GET", RULES, query={"security_group_id": group["id"]})).body[
        "security_group_rules"
    ]
    assert sorted((rule["direction"], rule["ethertype"], rule["protocol"]) for rule in rules) == [
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
    ]
    assert {rule["id"] for rule in group["security_group_rules"]} == {rule["id"] for rule in rules}
    assert (group["name"], group["description"], group["stateful"], group["shared"]) == ("contract", "d", True, False)


async def test_every_project_has_a_default_group_that_lets_its_own_in(bed: Bed) -> None:
    groups = (await bed.ask("stranger", "GET", "/v2.0/security-groups")).body["security_groups"]
    (default,) = [group for group in groups if group["name"] == "default"]
    ingress = [rule for rule in default["security_group_rules"] if rule["direction"] == "ingress"]
    assert sorted(rule["ethertype"] for rule in ingress) == ["IPv4", "IPv6"]
    assert {rule["remote_group_id"] for rule in ingress} == {default["id"]}
    reply = await bed.create("security-groups", {"name": "default"}, "stranger")
    text = "Default security group already exists."
    assert reply.refusal == (409, "SecurityGroupDefaultAlreadyExists", text)
    path, changes = f"/v2.0/security-groups/{default['id']}", {"security_group": {"name": "x"}}
    text = "Updating default security group not allowed."
    reply = await bed.ask("stranger", "PUT", path, changes)
    assert reply.refusal == (409, "SecurityGroupCannotUpdateDefault", text)
    text = "Insufficient rights for removing default security group."
    reply = await bed.ask("stranger", "DELETE", path)
    assert reply.refusal == (409, "SecurityGroupCannotRemoveDefault", text)


async def test_a_rule_is_there_once_and_goes(bed: Bed) -> None:
    group = await bed.make("security-groups", {"name": "contract"})
    web = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
    wanted = {**web, "port_range_min": 80, "port_range_max": 80}
    rule = await bed.make("security-group-rules", wanted)
    project = await bed.project("kuryr")
    assert rule.pop("created_at") == rule.pop("updated_at")
    assert rule == {
        "id": rule["id"],
        "project_id": project,
        "tenant_id": project,
        "security_group_id": group["id"],
        "ethertype": "IPv4",
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": 80,
        "port_range_max": 80,
        "remote_ip_prefix": None,
        "remote_address_group_id": None,
        "normalized_cidr": None,
        "remote_group_id": None,
        "belongs_to_default_sg": False,
        "description": "",
        "revision_number": 0,
    }
    text = f"Security group rule already exists. Rule id is {rule['id']}."
    assert (await bed.create("security-group-rules", wanted)).refusal == (409, "SecurityGroupRuleExists", text)
    two = [{**web, "protocol": "udp"}, wanted]
    assert (await bed.create("security-group-rules", two)).refusal == (409, "SecurityGroupRuleExists", text)
    there = (
        await bed.ask("kuryr", "GET", RULES, query={"security_group_id": group["id"], "direction": "ingress"})
    ).body
    assert [one["id"] for one in there["security_group_rules"]] == [rule["id"]]
    assert (await bed.ask("kuryr", "DELETE", f"{RULES}/{rule['id']}")).status == 204
    text = f"Security group rule {rule['id']} does not exist"
    reply = await bed.ask("kuryr", "DELETE", f"{RULES}/{rule['id']}")
    assert reply.refusal == (404, "SecurityGroupRuleNotFound", text)


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (
            {"protocol": "tcp", "port_range_min": 90, "port_range_max": 80},
            ("SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max"),
        ),
        (
            {"protocol": "tcp", "port_range_min": 1},
            ("SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max"),
        ),
        (
            {"port_range_min": 1, "port_range_max": 1},
            ("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given."),
        ),
        (
            {"protocol": "tcp", "port_range_min": 1, "port_range_max": 65536},
            ("SecurityGroupInvalidPortValue", "Invalid value for port 65536"),
        ),
        (
            {"direction": "sideways"},
            ("HTTPBadRequest", "Invalid input for direction. Reason: sideways is not in valid_values."),
        ),
        (
            {"ethertype": "IPv5"},
            (
                "SecurityGroupRuleInvalidEtherType",
                "Security group rule for ethertype 'IPv5' not supported. Allowed values are ['IPv4', 'IPv6'].",
            ),
        ),
        (
            {"remote_ip_prefix": "fd00::/8"},
            ("SecurityGroupRuleParameterConflict", "Conflicting value ethertype IPv4 for CIDR fd00::/8"),
        ),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(
    bed: Bed, wanted: dict[str, object], refusal: tuple[str, str]
) -> None:
    group = await bed.make("security-groups", {"name": "contract"})
    rule = {"security_group_id": group["id"], "direction": "ingress", **wanted}
    assert (await bed.create("security-group-rules", rule)).refusal == (400, *refusal)


async def test_a_rule_is_towards_a_group_or_a_prefix_and_neither_is_made_up(bed: Bed) -> None:
    group = await bed.make("security-groups", {"name": "contract"})
    rule = {"security_group_id": group["id"], "direction": "ingress"}
    reply = await bed.create("security-group-rules", {**rule, "remote_group_id": NOBODY})
    missing = (404, "SecurityGroupNotFound", f"Security group {NOBODY} does not exist")
    assert reply.refusal == missing
    assert (await bed.create("security-group-rules", {**rule, "security_group_id": NOBODY})).refusal == missing
    both = {"remote_group_id": group["id"], "remote_ip_prefix": "10.0.0.0/8"}
    text = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
    reply = await bed.create("security-group-rules", {**rule, **both})
    assert reply.refusal == (400, "SecurityGroupMultipleRemoteEntites", text)
    host = await bed.make("security-group-rules", {**rule, "remote_ip_prefix": "10.0.0.5"})
    assert (host["remote_ip_prefix"], host["normalized_cidr"]) == ("10.0.0.5/32", "10.0.0.5/32")
    icmp = await bed.make("security-group-rules", {**rule, "ethertype": "IPv6", "protocol": "icmpv6"})
    assert icmp["protocol"] == "ipv6-icmp"
    numbered = await bed.make("security-group-rules", {**rule, "protocol": 6})
    assert numbered["protocol"] == "6"


async def test_a_group_that_ports_have_stays_and_rules_towards_one_that_goes_go_too(bed: Bed) -> None:
    network, _ = await bed.pods()
    group = await bed.make("security-groups", {"name": "contract"})
    remote = await bed.make("security-groups", {"name": "contract"})
    towards = {"security_group_id": group["id"], "direction": "ingress", "remote_group_id": remote["id"]}
    rule = await bed.make("security-group-rules", towards)
    port = await bed.make("ports", {"network_id": network, "security_groups": [group["id"]]})
    path = f"/v2.0/security-groups/{group['id']}"
    text = f"Security Group {group['id']} in use."
    assert (await bed.ask("kuryr", "DELETE", path)).refusal == (409, "SecurityGroupInUse", text)
    assert (await bed.ask("kuryr", "DELETE", f"/v2.0/security-groups/{remote['id']}")).status == 204
    assert (await bed.ask("kuryr", "GET", f"{RULES}/{rule['id']}")).status == 404
    await (await bed.neutron()).delete_port(port["id"])
    assert (await bed.ask("kuryr", "DELETE", path)).status == 204
    text = f"Security group {group['id']} does not exist"
    assert (await bed.ask("kuryr", "GET", path)).refusal == (404, "SecurityGroupNotFound", text)
