"""The stock `openstack` client on the simulated cloud, as a user types it."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kuryr.lab.layout import Layout
from kuryr.simulator.__main__ import clouds_yaml
from kuryr.simulator.first_look import furnish
from kuryr.simulator.http import HttpCloud


@pytest.fixture(scope="session")
def client() -> Path:
    """The lab installs it; without it: skipped, in CI failed."""
    found = Layout.of(os.environ).openstack_venv / "bin" / "openstack"
    if not found.exists():
        reason = "there is no openstack client: kuryr lab install"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


async def said(
    client: Path, server: HttpCloud, folder: Path, *commands: str, cloud: str = "kuryr"
) -> tuple[list[Any], str]:
    """What the commands print as JSON, one after the other, in one run of the client; and its complaints."""
    path = folder / "clouds.yaml"
    path.write_text(clouds_yaml(server))
    environ = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(path), "OS_CLOUD": cloud}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(client, stdin=pipe, stdout=pipe, stderr=pipe, env=environ)
    async with asyncio.timeout(120):
        out, complaints = await process.communicate("\n".join((*commands, "")).encode())
    return documents(out.decode()), complaints.decode()


def documents(text: str) -> list[Any]:
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


async def test_ports_networks_groups_routers_and_quotas_work_as_on_a_real_cloud(client: Path, tmp_path: Path) -> None:
    async with HttpCloud(furnish(random.Random(1))) as server:
        found, complaints = await said(
            client,
            server,
            tmp_path,
            "token issue -f json",
            "network list -f json",
            "port create --network pods --mac-address 02:00:00:00:00:01 --host node1.lab.kuryr p1 -f json",
            "port set --name p2 --tag mine p1",
            "port list --tags mine -f json",
            "port show p2 -f json",
            "port delete p2",
            "subnet list -f json",
            "subnet pool list -f json",
            "router show kuryr -f json",
            "security group create web -f json",
            "security group rule create --protocol tcp --dst-port 80 web -f json",
            "security group rule list web -f json",
            "security group delete web",
            "quota show --usage -f json",
            "network create n2 -f json",
            "subnet create --network n2 --subnet-range 10.99.0.0/24 s2 -f json",
            "router add subnet kuryr s2",
            "router remove subnet kuryr s2",
            "network delete n2",
            "network list -f json",
        )
    assert complaints == ""
    token, networks, port, tagged, shown, subnets, pools, router, group, rule, rules, quota, n2, s2, left = found
    assert re.fullmatch("[0-9a-f]{32}", token["project_id"])
    assert {one["Name"] for one in networks} == {one["Name"] for one in left} == {"outside", "pods"}
    assert (port["mac_address"], port["binding_vif_type"], port["status"]) == ("02:00:00:00:00:01", "ovs", "DOWN")
    assert [one["Name"] for one in tagged] == [shown["name"]] == ["p2"]
    assert {one["Subnet"] for one in subnets} == {"10.20.0.0/16", "172.24.4.0/24"}
    assert [one["Prefixes"] for one in pools] == [["10.20.0.0/15"]]
    assert (router["status"], router["external_gateway_info"]["enable_snat"]) == ("ACTIVE", True)
    assert (rule["security_group_id"], rule["port_range_min"], len(rules)) == (group["id"], 80, 3)
    (ports,) = [one for one in quota if one["Resource"] == "ports"]
    assert (ports["Limit"], ports["In Use"]) == (-1, 1)
    assert (s2["network_id"], s2["gateway_ip"]) == (n2["id"], "10.99.0.1")


async def test_an_administrator_sets_a_quota_and_sees_projects_and_agents(client: Path, tmp_path: Path) -> None:
    async with HttpCloud(furnish(random.Random(1))) as server:
        commands = ("quota set --ports 1 kubernetes", "project list -f json", "network agent list -f json")
        (projects, agents), complaints = await said(client, server, tmp_path, *commands, cloud="admin")
        assert complaints == ""
        assert {one["Name"] for one in projects} == {"admin", "kubernetes", "elsewhere"}
        assert {(one["Host"], one["Alive"]) for one in agents} == {("node1.lab.kuryr", True), ("node2.lab.kuryr", True)}
        found, complaints = await said(
            client, server, tmp_path, "port create --network pods p1 -f json", "floating ip list"
        )
    assert found == []
    assert "Quota exceeded for resources: ['port']." in complaints
    assert "the simulated cloud does not know floatingips" in complaints


def test_the_program_says_how_to_use_it_and_leaves_nothing() -> None:
    with subprocess.Popen([sys.executable, "-m", "kuryr.simulator"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        usage = ""
        while "Ctrl-C" not in usage:
            line = process.stdout.readline()
            assert line, usage
            usage += line
        path = Path(usage.partition("OS_CLIENT_CONFIG_FILE=")[2].partition(" ")[0])
        assert "kuryr" in path.read_text()
        process.terminate()
        assert process.wait(30) == 0
    assert not path.exists()
