"""A cloud to begin with: the users and networks that the lab's real one has."""

import random
import time
from collections.abc import Callable

from kuryr.simulator.cloud import Cloud
from kuryr.simulator.neutron.caller import Caller

PASSWORD = "kuryr"  # noqa: S105 - of a simulation
USERS = (
    ("admin", "admin", ("admin",)),
    ("kuryr", "kubernetes", ("member", "service")),
    ("member", "kubernetes", ("member",)),
    ("reader", "kubernetes", ("reader",)),
    ("stranger", "elsewhere", ("member",)),
)
"""Name, project, roles."""
HOSTS = ("node1.lab.kuryr", "node2.lab.kuryr")


def furnish(chance: random.Random, now: Callable[[], float] = time.time) -> Cloud:
    """With users, two chassis, an external network, and a network for pods behind a router."""
    cloud = Cloud(chance, now)
    for user, project, roles in USERS:
        cloud.identity.add_user(user, PASSWORD, project, *roles)
    for host in HOSTS:
        cloud.network.hosts.add(host, name=host.partition(".")[0])
    admin = Caller(cloud.identity.add_project("admin").id, "", frozenset(("admin",)), "")
    kuryr = Caller(cloud.identity.add_project("kubernetes").id, "", frozenset(("member",)), "")
    make = cloud.network.make
    outside = make("networks", admin, {"name": "outside", "router:external": True, "provider:network_type": "flat"})
    cidr = {"network_id": outside["id"], "ip_version": 4, "cidr": "172.24.4.0/24", "enable_dhcp": False}
    make("subnets", admin, {"name": "outside", **cidr, "allocation_pools": [_RANGE]})
    pool = make("subnetpools", kuryr, {"name": "kuryr-pods", "prefixes": ["10.20.0.0/15"], **_LENGTHS})
    pods = make("networks", kuryr, {"name": "pods"})
    cut = {"network_id": pods["id"], "ip_version": 4, "subnetpool_id": pool["id"], "prefixlen": 16}
    subnet = make("subnets", kuryr, {"name": "pods", **cut, "enable_dhcp": False})
    gateway = {"network_id": outside["id"]}
    router = make("routers", kuryr, {"name": "kuryr", "external_gateway_info": gateway})
    cloud.network.routers.add_interface(kuryr, router, {"subnet_id": subnet["id"]})
    group = make("security-groups", kuryr, {"name": "kuryr-pods"})
    for family in ("IPv4", "IPv6"):
        rule = {"security_group_id": group["id"], "direction": "ingress", "ethertype": family}
        make("security-group-rules", kuryr, rule)
    return cloud


_RANGE = {"start": "172.24.4.100", "end": "172.24.4.200"}
_LENGTHS = {"default_prefixlen": 24, "min_prefixlen": 16, "max_prefixlen": 28}
