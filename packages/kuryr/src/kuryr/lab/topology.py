"""The topology that pods and the VM live in, made through the API as a user would."""

from pathlib import Path
from typing import Any

import yaml

from kuryr.lab.layout import PASSWORD, VM, WORLD_IP, Layout
from kuryr.lab.openstack_api import KEYSTONE_URL, NEUTRON_URL, Api
from kuryr.lab.processes import run


class Topology:
    """Project and user of Kuryr; outside, router, pods' network, their security group, and the VM's port."""

    name = "topology"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def start(self) -> None:
        admin = Api("admin", "admin")
        self._register_neutron(admin)
        admin.ensure_user("kuryr", "kubernetes", "member", "service")
        self._write_clouds()
        self._make_networks(admin, Api("kuryr", "kubernetes"))

    def _register_neutron(self, admin: Api) -> None:
        if admin.call("GET", f"{KEYSTONE_URL}/services?type=network")["services"]:
            return
        service = {"service": {"type": "network", "name": "neutron"}}
        found = admin.call("POST", f"{KEYSTONE_URL}/services", service)["service"]
        for interface in ("public", "internal", "admin"):
            endpoint = {"service_id": found["id"], "interface": interface, "url": NEUTRON_URL, "region_id": "RegionOne"}
            admin.call("POST", f"{KEYSTONE_URL}/endpoints", {"endpoint": endpoint})

    def _make_networks(self, admin: Api, kuryr: Api) -> None:
        base = f"{NEUTRON_URL}/v2.0"
        external = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "physnet1"}
        outside = admin.ensure(base, "network", "outside", **external)
        pools = [{"start": "172.24.4.100", "end": "172.24.4.200"}]
        admin.ensure(
            base, "subnet", "outside", network_id=outside["id"], ip_version=4, cidr="172.24.4.0/24",
            gateway_ip=WORLD_IP, enable_dhcp=False, allocation_pools=pools,
        )  # fmt: skip
        prefixes = {"prefixes": ["10.20.0.0/15"], "default_prefixlen": 24, "min_prefixlen": 16, "max_prefixlen": 28}
        pool = kuryr.ensure(base, "subnetpool", "kuryr-pods", **prefixes)
        pods = kuryr.ensure(base, "network", "pods")
        subnet = kuryr.ensure(
            base, "subnet", "pods", network_id=pods["id"], ip_version=4, subnetpool_id=pool["id"],
            prefixlen=16, enable_dhcp=False,
        )  # fmt: skip
        router = kuryr.ensure(base, "router", "kuryr")
        if not router["external_gateway_info"]:
            gateway = {"router": {"external_gateway_info": {"network_id": outside["id"]}}}
            kuryr.call("PUT", f"{base}/routers/{router['id']}", gateway)
        attached = kuryr.call("GET", f"{base}/ports?device_id={router['id']}&network_id={pods['id']}")["ports"]
        if not attached:
            kuryr.call("PUT", f"{base}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
        group = kuryr.ensure(base, "security_group", "kuryr-pods")
        if not any(rule["direction"] == "ingress" for rule in group["security_group_rules"]):
            for family in ("IPv4", "IPv6"):
                rule = {"security_group_id": group["id"], "direction": "ingress", "ethertype": family}
                kuryr.call("POST", f"{base}/security-group-rules", {"security_group_rule": rule})
        self._plug_vm(kuryr, base, pods, group)

    def _plug_vm(self, kuryr: Api, base: str, pods: dict[str, Any], group: dict[str, Any]) -> None:
        """The VM: a namespace on the first node, plugged as Nova would plug an instance."""
        node = self._layout.nodes[0]
        binding = {"binding:host_id": node.ovs_hostname, "device_owner": "compute:nova", "device_id": "vm1"}
        port = kuryr.ensure(base, "port", "vm1", network_id=pods["id"], security_groups=[group["id"]], **binding)
        address = port["fixed_ips"][0]["ip_address"]
        (self._layout.state / "vm1.address").write_text(address)
        if Path(f"/run/netns/{VM}").exists():
            return
        run(["ip", "netns", "add", VM])
        mac, tap = port["mac_address"], f"tap{port['id'][:11]}"
        run(
            [
                "ip",
                "link",
                "add",
                "eth0",
                "netns",
                VM,
                "address",
                mac,
                "type",
                "veth",
                "peer",
                "name",
                tap,
                "netns",
                node.netns,
            ]
        )
        run(["ip", "-n", node.netns, "link", "set", tap, "mtu", str(pods["mtu"]), "up"])
        run(["ip", "-n", VM, "link", "set", "lo", "up"])
        run(["ip", "-n", VM, "link", "set", "eth0", "mtu", str(pods["mtu"]), "up"])
        run(["ip", "-n", VM, "address", "add", f"{address}/16", "dev", "eth0"])
        run(["ip", "-n", VM, "route", "add", "default", "via", "10.20.0.1"])
        vsctl = [self._layout.ovs_bin / "ovs-vsctl", "--timeout=20", f"--db=unix:{self._layout.ovsdb(node)}"]
        ids = [
            f"external_ids:iface-id={port['id']}",
            f"external_ids:attached-mac={mac}",
            "external_ids:iface-status=active",
        ]
        run([*vsctl, "add-port", "br-int", tap, "--", "set", "Interface", tap, *ids])

    def _write_clouds(self) -> None:
        def cloud(user: str, project: str) -> dict[str, Any]:
            auth = {
                "auth_url": KEYSTONE_URL,
                "username": user,
                "password": PASSWORD,
                "project_name": project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            }
            return {"auth": auth, "region_name": "RegionOne", "identity_api_version": 3}

        clouds = {"clouds": {"kuryr": cloud("kuryr", "kubernetes"), "admin": cloud("admin", "admin")}}
        self._layout.clouds.write_text(yaml.safe_dump(clouds))
        self._layout.clouds.chmod(0o600)
