"""What ADD answers, in the form of each version of the CNI specification. Pure.

1.1.0 has the MTU of an interface, older versions do not; those before 1.0.0 say of each address which family it is of.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from kuryr.daemon.cni.protocol import CniCode, CniError


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Names as the specification has them."""


class ResultInterface(_Wire, frozen=True, kw_only=True):
    """`sandbox` is the netns path, empty for an interface of the host. `mtu` in bytes, since 1.1.0."""

    name: str
    mac: str = ""
    mtu: int | None = None
    sandbox: str = ""


class ResultIp(_Wire, frozen=True, kw_only=True):
    """`address` with its prefix length; `interface` an index into the result's interfaces."""

    address: str
    gateway: str | None = None
    interface: int | None = None


class ResultRoute(_Wire, frozen=True, kw_only=True):
    """`dst` in CIDR form."""

    dst: str
    gw: str | None = None


class Result(_Wire, frozen=True, kw_only=True):
    """The success result of ADD. No DNS: kubelet gives pods their resolv.conf."""

    interfaces: tuple[ResultInterface, ...] = ()
    ips: tuple[ResultIp, ...] = ()
    routes: tuple[ResultRoute, ...] = ()


def parse_result(previous: Mapping[str, Any]) -> Result:
    """A prevResult: what we understand of it. Raises CniError."""
    try:
        result = msgspec.convert(dict(previous), Result)
        for ip in result.ips:
            ipaddress.ip_interface(ip.address)
        for route in result.routes:
            ipaddress.ip_network(route.dst, strict=False)
            ipaddress.ip_address(route.gw or "::")
        return result
    except ValueError as error:  # msgspec.ValidationError is one
        raise CniError(CniCode.DECODE_FAILURE, f"prevResult is not a result of ADD: {error}") from error


def encode_result(result: Result, cni_version: str, previous: Mapping[str, Any] | None = None) -> bytes:
    """In the form of the version the configuration asked for; after what a plug-in before us in the chain answered.

    Raises CniError.
    """
    ours = msgspec.to_builtins(result)
    if cni_version != "1.1.0":
        for interface in ours.get("interfaces", ()):
            interface.pop("mtu", None)
    if cni_version.startswith("0."):
        for ip in ours.get("ips", ()):
            ip["version"] = str(ipaddress.ip_interface(ip["address"]).version)
    if previous is not None:
        ours = _after(previous, ours)
    return msgspec.json.encode({**ours, "cniVersion": cni_version})


def _after(previous: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Both, with what we do not know of the previous one; our addresses' indexes move behind its interfaces."""
    offset = len(parse_result(previous).interfaces)
    ips = [{**ip, "interface": ip["interface"] + offset} if "interface" in ip else ip for ip in ours.get("ips", ())]
    return {
        **previous,
        "interfaces": [*(previous.get("interfaces") or ()), *ours.get("interfaces", ())],
        "ips": [*(previous.get("ips") or ()), *ips],
        "routes": [*(previous.get("routes") or ()), *ours.get("routes", ())],
    }
