"""How large a packet of a pod may be on this node's tunnels. Pure."""

import ipaddress
from collections.abc import Iterable, Mapping

_IP_BYTES = {4: 20, 6: 40}

# inner Ethernet 14 + UDP 8 + the encapsulation's header: Geneve 8 and OVN's option 8, VXLAN 8
_OVERHEAD_BYTES = {"geneve": 38, "vxlan": 30}


def largest_pod_mtu(encap_ips: Iterable[str], encap_types: Iterable[str], mtus: Mapping[str, int]) -> int:
    """The largest MTU in bytes that a pod's interface can have if its packets are to cross every tunnel of this node:
    the least MTU of the links that have the encapsulation addresses, less the overhead. 0: it cannot be told, as where
    the address is on no link of this namespace.

    It bounds Neutron's MTU of a tunnelled network, which is what pods get (a network without tunnels has its own). The
    overhead is that of Neutron's ML2/OVN: 58 bytes for Geneve over IPv4.
    """
    overheads = [_OVERHEAD_BYTES[kind] for kind in encap_types if kind in _OVERHEAD_BYTES]
    rooms = [mtus.get(ip, 0) - _IP_BYTES[ipaddress.ip_address(ip).version] for ip in encap_ips if _is_ip(ip)]
    if not overheads or not rooms:
        return 0
    return max(0, min(rooms) - max(overheads))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
