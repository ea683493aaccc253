"""The configuration: one typed YAML file plus environment. Every key is documented in its type; an unknown or wrong key
is refused by name.

Environment variables override the file: `KURYR_` and the key's path, parts joined by two underscores:
`KURYR_NEUTRON__NETWORK=pods`. Values are parsed as YAML. `kuryr config` prints the documented defaults.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, inspect

PREFIX = "KURYR_"

# the lab's variables, and those that Kubernetes sets for a Service whose name begins with kuryr
_NOT_OURS = re.compile(r"^KURYR_LAB|_SERVICE_(HOST|PORT)|_PORT(_|$)")

Seconds = Annotated[float, Meta(gt=0)]


class ConfigurationError(Exception):
    """A key is unknown, wrong or missing. The message names it and says what is allowed."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file."""


class Kubernetes(_Section, frozen=True, kw_only=True):
    """Which API server."""

    kubeconfig: Annotated[str, Meta(description="path of a kubeconfig; empty: $KUBECONFIG, else the pod's account")] = (
        ""
    )
    context: Annotated[str, Meta(description="context of the kubeconfig; empty: its current one")] = ""


class OpenStack(_Section, frozen=True, kw_only=True):
    """Which cloud, and as whom. Only the controller needs it: nodes hold no OpenStack credentials."""

    cloud: Annotated[str, Meta(description="name in clouds.yaml; empty: $OS_CLOUD")] = ""
    clouds_file: Annotated[str, Meta(description="path of clouds.yaml; empty: the usual places")] = ""


class NeutronNetwork(_Section, frozen=True, kw_only=True):
    """Where pods are."""

    network: Annotated[str, Meta(description="name or id of the pods' network; the controller needs it")] = ""
    security_groups: Annotated[tuple[str, ...], Meta(description="names or ids; empty: no traffic is allowed")] = ()
    timeout_s: Annotated[Seconds, Meta(description="deadline of one call to Neutron")] = 60.0


class Pools(_Section, frozen=True, kw_only=True):
    """Ports without a pod."""

    cool_down_s: Annotated[Seconds, Meta(description="how long a released port rests before it is deleted")] = 20.0


class ControllerOptions(_Section, frozen=True, kw_only=True):
    """kuryr controller."""

    workers: Annotated[int, Meta(ge=1, le=1000, description="pods handled at the same time")] = 8


class Daemon(_Section, frozen=True, kw_only=True):
    """kuryr daemon, one on each node."""

    node: Annotated[str, Meta(description="name of the Kubernetes node; the daemon needs it")] = ""
    socket: Annotated[str, Meta(pattern="^/", description="unix socket between plug-in and daemon")] = (
        "/run/kuryr/cni.sock"
    )
    ovsdb: Annotated[str, Meta(pattern="^unix:/", description="OVSDB of the node")] = "unix:/run/openvswitch/db.sock"
    ovn_run_dir: Annotated[str, Meta(pattern="^/", description="folder of ovn-controller's control socket")] = (
        "/run/ovn"
    )
    integration_bridge: Annotated[str, Meta(min_length=1, description="bridge that ovn-controller programs")] = "br-int"
    cni_conf_dir: Annotated[str, Meta(pattern="^/", description="where the runtime looks for networks")] = (
        "/etc/cni/net.d"
    )
    cni_bin_dir: Annotated[str, Meta(pattern="^/", description="where the runtime looks for plug-ins")] = "/opt/cni/bin"
    add_timeout_s: Annotated[Seconds, Meta(description="how long an ADD waits for the pod's KuryrPort")] = 90.0
    plug_timeout_s: Annotated[Seconds, Meta(description="how long an ADD waits for OVN to install its flows")] = 30.0


class Log(_Section, frozen=True, kw_only=True):
    """Logging, to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="least level printed")] = "info"


class Configuration(_Section, frozen=True, kw_only=True):
    """The whole file."""

    cluster_id: Annotated[str, Meta(max_length=64, description="empty: the UID of the namespace kube-system")] = ""
    kubernetes: Kubernetes = Kubernetes()
    openstack: OpenStack = OpenStack()
    neutron: NeutronNetwork = NeutronNetwork()
    pools: Pools = Pools()
    controller: ControllerOptions = ControllerOptions()
    daemon: Daemon = Daemon()
    log: Log = Log()


def load_configuration(path: str, environ: Mapping[str, str]) -> Configuration:
    """Reads the file (an empty path: none) and the environment. Raises `ConfigurationError`."""
    content: Any = {}
    if path:
        try:
            content = yaml.safe_load(Path(path).read_text()) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    configuration = _convert(content, path or "configuration")
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX) and not _NOT_OURS.search(name):
            _set(content, name, value)
            configuration = _convert(content, name)
    return configuration


def _set(content: dict[str, Any], name: str, value: str) -> None:
    *sections, key = name.removeprefix(PREFIX).lower().split("__")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigurationError(f"{name}: {section} is not a section")
    try:
        content[key] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name}: not YAML: {error}") from error
    if content[key] is None:
        content[key] = ""


def _convert(content: Any, source: str) -> Configuration:
    unknown = _unknown_key(content, Configuration, "")
    if unknown:
        raise ConfigurationError(f"{source}: {unknown}")
    try:
        return msgspec.convert(content, Configuration)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$.") or "the file"
        raise ConfigurationError(f"{source}: {key}: {what}") from error


def _unknown_key(content: Any, of: type[msgspec.Struct], path: str) -> str:
    if not isinstance(content, dict):
        return f"{path.rstrip('.') or 'the file'}: expected a section with keys, found {content!r}"
    allowed = {field.name: field for field in msgspec.structs.fields(of)}
    for key, value in content.items():
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"did you mean {path}{close[0]}? " if close else ""
            return f"unknown key {path}{key}: {hint}allowed here: {', '.join(allowed)}"
        info = inspect.type_info(allowed[key].type)
        if isinstance(info, inspect.StructType):
            problem = _unknown_key(value, info.cls, f"{path}{key}.")
            if problem:
                return problem
    return ""


def require(value: str, key: str) -> str:
    """The value of a key that this process cannot do without. Raises `ConfigurationError` naming it."""
    if not value:
        variable = PREFIX + key.upper().replace(".", "__")
        raise ConfigurationError(f"{key} is not set: put it into the configuration file or set {variable}")
    return value


def render_defaults() -> str:
    """The default configuration as a YAML file with every key explained."""
    lines = ["# Kuryr's configuration: every key with its default."]
    for field in msgspec.structs.fields(Configuration):
        info = inspect.type_info(field.type)
        if isinstance(info, inspect.StructType):
            lines += ["", f"# {(info.cls.__doc__ or '').strip()}", f"{field.name}:"]
            lines += [line for inner in msgspec.structs.fields(info.cls) for line in _key(inner, "  ")]
        else:
            lines += ["", *_key(field, "")]
    return "\n".join(lines) + "\n"


def _key(field: msgspec.structs.FieldInfo, indent: str) -> list[str]:
    info = inspect.type_info(field.type)
    description = (info.extra_json_schema or {}).get("description", "") if isinstance(info, inspect.Metadata) else ""
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return [f"{indent}# {description}", f"{indent}{field.name}: {msgspec.json.encode(value).decode()}"]
