"""The CNI specification's types, 1.0.0 and 1.1.0: requests as the plug-in passes them on, results, errors. Pure.

A request is the plug-in's environment and standard input in one JSON object; parsing it raises CniError with the code
the specification has for what is wrong. DEL is parsed leniently: it must work with what little a runtime still has.

https://github.com/containernetworking/cni/blob/main/SPEC.md
"""

import re
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

SUPPORTED_VERSIONS = ("1.0.0", "1.1.0")

_CONTAINER_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_IFNAME = re.compile(r"[^\s/:]{1,15}")


class CniCode(IntEnum):
    """Codes of the specification; from 100 on, ours."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODE_FAILURE = 6
    INVALID_CONFIGURATION = 7
    TRY_AGAIN_LATER = 11
    INTERNAL = 100
    FORBIDDEN = 101


class CniError(Exception):
    """What a runtime is told when a command fails. `msg` is short; `details` say what to do."""

    def __init__(self, code: CniCode, msg: str, details: str = "") -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.details = details


class Command(StrEnum):
    """CNI_COMMAND. VERSION is answered by the plug-in itself."""

    ADD = "ADD"
    DEL = "DEL"


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Names as the specification has them."""


class NetworkConfiguration(_Wire, frozen=True, kw_only=True):
    """Of the configuration on standard input, what we use."""

    cni_version: str = ""
    name: str = ""


class _WireRequest(_Wire, frozen=True, kw_only=True):
    command: str
    container_id: str = ""
    netns: str = ""
    ifname: str = ""
    args: str = ""
    path: str = ""
    config: NetworkConfiguration


class PodArgs(_Wire, frozen=True, kw_only=True):
    """CNI_ARGS as kubelet's runtimes fill them; empty where they did not."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class CniRequest(_Wire, frozen=True, kw_only=True):
    """One valid command. `netns` (a path) and `pod` are complete for ADD, and may be empty for DEL."""

    command: Command
    cni_version: str
    container_id: str
    netns: str
    ifname: str
    pod: PodArgs


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


class ResultDns(_Wire, frozen=True, kw_only=True):
    """Empty: kubelet gives pods their resolv.conf."""

    nameservers: tuple[str, ...] = ()


class Result(_Wire, frozen=True, kw_only=True):
    """The success result of ADD."""

    interfaces: tuple[ResultInterface, ...]
    ips: tuple[ResultIp, ...] = ()
    routes: tuple[ResultRoute, ...] = ()
    dns: ResultDns = ResultDns()


def encode_result(result: Result, cni_version: str) -> bytes:
    """In the form of the version the configuration asked for."""
    if cni_version == "1.0.0":
        interfaces = tuple(msgspec.structs.replace(interface, mtu=None) for interface in result.interfaces)
        result = msgspec.structs.replace(result, interfaces=interfaces)
    return msgspec.json.encode({"cniVersion": cni_version, **msgspec.to_builtins(result)})


def encode_error(error: CniError, cni_version: str = "") -> bytes:
    answer = {"cniVersion": cni_version or SUPPORTED_VERSIONS[-1], "code": int(error.code), "msg": error.msg}
    return msgspec.json.encode({**answer, "details": error.details} if error.details else answer)


def parse_request(line: bytes) -> CniRequest:
    """Raises CniError."""
    try:
        wire = msgspec.json.decode(line, type=_WireRequest)
    except (ValueError, RecursionError) as error:  # msgspec.DecodeError is a ValueError
        raise CniError(CniCode.DECODE_FAILURE, f"cannot decode the request: {error}") from error
    version = wire.config.cni_version
    if version not in SUPPORTED_VERSIONS:
        supported = ", ".join(SUPPORTED_VERSIONS)
        raise CniError(
            CniCode.INCOMPATIBLE_VERSION,
            f"cniVersion {version!r} is not supported",
            f"set cniVersion in the network configuration to one of {supported}",
        )
    try:
        command = Command(wire.command)
    except ValueError as error:
        known = ", ".join(Command)
        raise _invalid(f"CNI_COMMAND is {wire.command!r}, not one of {known}, VERSION") from error
    request = CniRequest(
        command=command,
        cni_version=version,
        container_id=wire.container_id,
        netns=wire.netns,
        ifname=wire.ifname,
        pod=parse_args(wire.args),
    )
    _check(request)
    return request


def parse_args(args: str) -> PodArgs:
    """CNI_ARGS: `KEY=value` separated by semicolons; keys we do not know are for others. Raises CniError."""
    values: dict[str, Any] = {}
    for pair in filter(None, args.split(";")):
        key, separator, value = pair.partition("=")
        if not separator:
            raise _invalid(f"CNI_ARGS has {pair!r}, which is not KEY=value")
        values[key] = value
    return PodArgs(
        namespace=values.get("K8S_POD_NAMESPACE", ""),
        name=values.get("K8S_POD_NAME", ""),
        uid=values.get("K8S_POD_UID", ""),
    )


def _check(request: CniRequest) -> None:
    if not _CONTAINER_ID.fullmatch(request.container_id):
        raise _invalid(f"CNI_CONTAINERID is {request.container_id!r}: letters, digits, '_', '.' and '-' are allowed")
    if not _IFNAME.fullmatch(request.ifname) or request.ifname in {".", ".."}:
        raise _invalid(f"CNI_IFNAME is {request.ifname!r}: 1 to 15 characters without '/', ':' and blanks are allowed")
    if request.command is not Command.ADD:
        return
    if not request.netns:
        raise _invalid("CNI_NETNS is empty")
    missing = [
        key
        for key, value in (
            ("K8S_POD_NAMESPACE", request.pod.namespace),
            ("K8S_POD_NAME", request.pod.name),
            ("K8S_POD_UID", request.pod.uid),
        )
        if not value
    ]
    if missing:
        raise _invalid(f"CNI_ARGS lacks {', '.join(missing)}: the runtime has to say which pod this is")


def _invalid(msg: str) -> CniError:
    return CniError(CniCode.INVALID_ENVIRONMENT, msg)
