"""The rtnetlink messages we send and read: links, addresses, routes. Pure: from our types to bytes and back.

Numbers are those of linux/rtnetlink.h, if_link.h, if_addr.h and veth.h; see rtnetlink(7). A request carries its own
description, for the error that names what was asked.
"""

import ipaddress
import socket
import struct
import sys
from dataclasses import dataclass

from kuryr.daemon.kernel import Link
from kuryr.daemon.netlink import codec
from kuryr.daemon.sandbox import Address, Route

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26

IFF_UP = 0x1

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU = 1, 3, 4
_IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 18, 20, 26, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_VETH_INFO_PEER = 1
_IFLA_INET6_ADDR_GEN_MODE = 8
_IN6_ADDR_GEN_MODE_NONE = b"\x01"

_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_NODAD = 0x02

_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15
_RTNH_F_ONLINK = 4
_RT_TABLE_MAIN = 254
_RTPROT_BOOT = 3
_RTN_UNICAST = 1
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, mask of flags to change
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, protocol, scope, type, flags

_MAKE = codec.NLM_F_CREATE | codec.NLM_F_EXCL


@dataclass(frozen=True, slots=True)
class Request:
    """One message without its sequence number. `description` completes "could not ..."."""

    description: str
    type: int
    flags: int
    payload: bytes


def create_veth(*, host_ifname: str, ifname: str, netns_fd: int, mac_address: str, mtu: int, index: int) -> Request:
    """A pair whose peer is born in the other namespace with its final name, MAC, MTU and index; both ends are down."""
    peer = (
        _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        + codec.encode_string(_IFLA_IFNAME, ifname)
        + codec.encode_attribute(_IFLA_ADDRESS, bytes.fromhex(mac_address.replace(":", "")))
        + codec.encode_u32(_IFLA_MTU, mtu)
        + codec.encode_u32(_IFLA_NET_NS_FD, netns_fd)
    )
    payload = (
        _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        + codec.encode_string(_IFLA_IFNAME, host_ifname)
        + codec.encode_u32(_IFLA_MTU, mtu)
        + codec.encode_nested(
            _IFLA_LINKINFO,
            codec.encode_string(_IFLA_INFO_KIND, "veth"),
            codec.encode_nested(_IFLA_INFO_DATA, codec.encode_attribute(_VETH_INFO_PEER, peer)),
        )
    )
    return Request(f"create the pair {host_ifname} and {ifname}", RTM_NEWLINK, _MAKE, payload)


def set_alias(index: int, alias: str) -> Request:
    payload = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + codec.encode_string(_IFLA_IFALIAS, alias)
    return Request(f"name the owner of link {index}", RTM_NEWLINK, 0, payload)


def set_no_link_local(index: int) -> Request:
    """No IPv6 link-local address, so the device sends nothing of its own (no MLD, no router solicitation)."""
    spec = codec.encode_nested(
        socket.AF_INET6, codec.encode_attribute(_IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE)
    )
    payload = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + codec.encode_nested(_IFLA_AF_SPEC, spec)
    return Request(f"keep link {index} without a link-local address", RTM_NEWLINK, 0, payload)


def set_up(index: int) -> Request:
    return Request(f"set link {index} up", RTM_NEWLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP))


def delete_link(name: str) -> Request:
    payload = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + codec.encode_string(_IFLA_IFNAME, name)
    return Request(f"delete the link {name}", RTM_DELLINK, 0, payload)


def get_link(name: str) -> Request:
    payload = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + codec.encode_string(_IFLA_IFNAME, name)
    return Request(f"look at the link {name}", RTM_GETLINK, 0, payload)


def list_links() -> Request:
    return Request("list links", RTM_GETLINK, codec.NLM_F_DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0))


def list_addresses() -> Request:
    return Request("list addresses", RTM_GETADDR, codec.NLM_F_DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))


def list_routes(family: int) -> Request:
    payload = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    return Request("list routes", RTM_GETROUTE, codec.NLM_F_DUMP, payload)


def _family(version: int) -> int:
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def add_address(index: int, address: Address) -> Request:
    ip = ipaddress.ip_address(address.ip)
    payload = _ADDRESS.pack(_family(ip.version), address.prefix_length, 0, 0, index)
    payload += codec.encode_attribute(_IFA_LOCAL, ip.packed) + codec.encode_attribute(_IFA_ADDRESS, ip.packed)
    if ip.version == 6:
        # Neutron has given the address to this port alone; detecting duplicates would keep it unusable for a second.
        payload += codec.encode_u32(_IFA_FLAGS, _IFA_F_NODAD)
    return Request(f"add the address {ip}/{address.prefix_length}", RTM_NEWADDR, _MAKE, payload)


def delete_address(index: int, address: Address) -> Request:
    ip = ipaddress.ip_address(address.ip)
    payload = _ADDRESS.pack(_family(ip.version), address.prefix_length, 0, 0, index)
    payload += codec.encode_attribute(_IFA_LOCAL, ip.packed)
    return Request(f"delete the address {ip}/{address.prefix_length}", RTM_DELADDR, 0, payload)


def add_route(index: int, route: Route) -> Request:
    destination = ipaddress.ip_network(route.destination)
    scope = _RT_SCOPE_UNIVERSE if route.gateway or destination.version == 6 else _RT_SCOPE_LINK
    payload = _ROUTE.pack(
        _family(destination.version),
        destination.prefixlen,
        0,
        0,
        _RT_TABLE_MAIN,
        _RTPROT_BOOT,
        scope,
        _RTN_UNICAST,
        _RTNH_F_ONLINK if route.onlink else 0,
    )
    if destination.prefixlen:
        payload += codec.encode_attribute(_RTA_DST, destination.network_address.packed)
    if route.gateway:
        payload += codec.encode_attribute(_RTA_GATEWAY, ipaddress.ip_address(route.gateway).packed)
    payload += codec.encode_u32(_RTA_OIF, index)
    via = f" via {route.gateway}" if route.gateway else ""
    return Request(f"add the route {destination}{via}", RTM_NEWROUTE, _MAKE, payload)


def parse_link(payload: bytes) -> Link:
    if len(payload) < _LINK.size:
        raise codec.NetlinkFormatError("a link message that is too short")
    _of_family, _type, index, flags, _change = _LINK.unpack_from(payload)
    attributes = codec.parse_attributes(payload[_LINK.size :])
    info = codec.parse_attributes(attributes.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=codec.parse_string(attributes.get(_IFLA_IFNAME, b"")),
        kind=codec.parse_string(info.get(_IFLA_INFO_KIND, b"")),
        mac_address=attributes.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=_parse_u32(attributes.get(_IFLA_MTU)),
        up=bool(flags & IFF_UP),
        alias=codec.parse_string(attributes.get(_IFLA_IFALIAS, b"")),
    )


def parse_address(payload: bytes) -> tuple[int, Address]:
    """The link's index and its address."""
    if len(payload) < _ADDRESS.size:
        raise codec.NetlinkFormatError("an address message that is too short")
    _of_family, prefix_length, _flags, _scope, index = _ADDRESS.unpack_from(payload)
    attributes = codec.parse_attributes(payload[_ADDRESS.size :])
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
    return index, Address(_parse_ip(packed), prefix_length)


def parse_route(payload: bytes) -> tuple[int, Route] | None:
    """The outgoing link's index and the route; None for those of other tables and other than unicast ones."""
    if len(payload) < _ROUTE.size:
        raise codec.NetlinkFormatError("a route message that is too short")
    family, length, _src, _tos, table, _protocol, _scope, kind, flags = _ROUTE.unpack_from(payload)
    attributes = codec.parse_attributes(payload[_ROUTE.size :])
    if (_parse_u32(attributes.get(_RTA_TABLE)) or table) != _RT_TABLE_MAIN or kind != _RTN_UNICAST:
        return None
    packed = attributes.get(_RTA_DST, bytes(16 if family == socket.AF_INET6 else 4))
    gateway = attributes.get(_RTA_GATEWAY)
    route = Route(
        f"{_parse_ip(packed)}/{length}",
        _parse_ip(gateway) if gateway else None,
        onlink=bool(flags & _RTNH_F_ONLINK),
    )
    return _parse_u32(attributes.get(_RTA_OIF)), route


def _parse_u32(payload: bytes | None) -> int:
    return int.from_bytes(payload[:4], sys.byteorder) if payload else 0


def _parse_ip(packed: bytes) -> str:
    try:
        return str(ipaddress.ip_address(packed))
    except ValueError as error:
        raise codec.NetlinkFormatError(f"{len(packed)} bytes are no address") from error
