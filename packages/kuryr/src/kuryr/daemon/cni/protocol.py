"""The CNI specification's requests, as the plug-in passes them on, and its errors. Pure; results are in `results`.

A request is the plug-in's environment and standard input in one JSON object; parsing it raises CniError with the code
the specification has for what is wrong. DEL is parsed leniently: it must work with what little a runtime still has.

https://github.com/containernetworking/cni/blob/main/SPEC.md
"""

import re
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

SUPPORTED_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""In ascending order: a command is there from some version on."""

# The specification has no bound for it; the kernel's names of owners have one.
_CONTAINER_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,199}")
_IFNAME = re.compile(r"[^\s/:]{1,15}")
_MAX_IFNAME_BYTES = 15


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
    NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51
    INTERNAL = 100
    FORBIDDEN = 101
    NOT_AS_WIRED = 102


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
    CHECK = "CHECK"
    GC = "GC"
    STATUS = "STATUS"


_SINCE = {Command.CHECK: "0.4.0", Command.GC: "1.1.0", Command.STATUS: "1.1.0"}


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Names as the specification has them."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of one container, as the runtime names it."""

    container_id: str = msgspec.field(name="containerID")
    ifname: str


class NetworkConfiguration(_Wire, frozen=True, kw_only=True):
    """Of the configuration on standard input, what we use. A list without entries may come as null."""

    cni_version: str = ""
    name: str = ""
    prev_result: Any = None
    valid_attachments: tuple[Attachment, ...] | msgspec.UnsetType | None = msgspec.field(
        name="cni.dev/valid-attachments", default=msgspec.UNSET
    )
    # as libcni 1.2.0 called it
    attachments: tuple[Attachment, ...] | msgspec.UnsetType | None = msgspec.field(
        name="cni.dev/attachments", default=msgspec.UNSET
    )


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
    """One valid command. `netns` (a path) and `pod` are complete for ADD, and may be empty for others.

    GC and STATUS have no container. CHECK has `prev_result`; ADD has it when we are not the first of the chain.
    """

    command: Command
    cni_version: str
    container_id: str
    netns: str
    ifname: str
    pod: PodArgs
    prev_result: dict[str, Any] | None = None
    valid_attachments: frozenset[Attachment] = frozenset()


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
    since = _SINCE.get(command, SUPPORTED_VERSIONS[0])
    if SUPPORTED_VERSIONS.index(version) < SUPPORTED_VERSIONS.index(since):
        raise CniError(CniCode.INCOMPATIBLE_VERSION, f"there is no {command} in CNI {version}: only since {since}")
    request = CniRequest(
        command=command,
        cni_version=version,
        container_id=wire.container_id,
        netns=wire.netns,
        ifname=wire.ifname,
        pod=_parse_pod(command, wire.args),
        prev_result=_prev_result(command, wire.config),
        valid_attachments=_valid_attachments(wire.config) if command is Command.GC else frozenset(),
    )
    if command not in {Command.GC, Command.STATUS}:
        _check_attachment(request)
    return request


def _parse_pod(command: Command, args: str) -> PodArgs:
    try:
        return parse_args(args)
    except CniError:
        if command is Command.ADD:
            raise
        return PodArgs()


def _prev_result(command: Command, config: NetworkConfiguration) -> dict[str, Any] | None:
    previous = config.prev_result
    if command in {Command.ADD, Command.CHECK} and not isinstance(previous, dict | None):
        raise CniError(CniCode.DECODE_FAILURE, "prevResult is not a JSON object")
    if command is Command.CHECK and previous is None:
        raise CniError(CniCode.INVALID_CONFIGURATION, "CHECK needs prevResult: the result that ADD gave")
    return previous if isinstance(previous, dict) else None


def _valid_attachments(config: NetworkConfiguration) -> frozenset[Attachment]:
    given = config.valid_attachments if config.valid_attachments is not msgspec.UNSET else config.attachments
    if given is msgspec.UNSET:
        raise CniError(
            CniCode.INVALID_CONFIGURATION,
            "the network configuration has no cni.dev/valid-attachments: without that list nothing is removed",
        )
    return frozenset(given or ())


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


def _check_attachment(request: CniRequest) -> None:
    if not _CONTAINER_ID.fullmatch(request.container_id):
        raise _invalid(
            f"CNI_CONTAINERID is {request.container_id[:210]!r}: "
            "1 to 200 letters, digits, '_', '.' and '-' are allowed, the first a letter or digit"
        )
    ifname = request.ifname
    right = _IFNAME.fullmatch(ifname) and ifname.isprintable() and len(ifname.encode()) <= _MAX_IFNAME_BYTES
    if not right or ifname in {".", ".."}:
        raise _invalid(f"CNI_IFNAME is {ifname[:20]!r}: 1 to 15 bytes without '/', ':' and blanks are allowed")
    if "\0" in request.netns:
        raise _invalid("CNI_NETNS has a NUL: it is no path")
    if request.command is Command.DEL:
        return
    if not request.netns:
        raise _invalid("CNI_NETNS is empty")
    if request.command is Command.CHECK:
        return
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
