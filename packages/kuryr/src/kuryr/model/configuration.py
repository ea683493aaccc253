"""The configuration: one typed YAML file plus environment. Every key is documented in its type; an unknown or wrong key
is refused by name.

Environment variables override the file: `KURYR_` and the key's path, parts joined by two underscores:
`KURYR_NEUTRON__NETWORK=pods`. Values are parsed as YAML, texts are taken as they are.

Everything that is wrong is told at once. `kuryr config` prints the documented defaults.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from msgspec import Meta, inspect

PREFIX = "KURYR_"

# the lab's variables, and those that Kubernetes sets for a Service whose name begins with kuryr
_NOT_OURS = re.compile(r"^KURYR_LAB|_SERVICE_(HOST|PORT)|_PORT(_|$)")

Seconds = Annotated[float, Meta(gt=0)]
Http = Annotated[
    str,
    Meta(
        pattern=r"^$|^[^ ]*:[0-9]{1,5}$",
        description="where /metrics, /healthz and /readyz are served, host:port (:port: everywhere); empty: nowhere",
    ),
]


class ConfigurationError(Exception):
    """Keys are unknown, wrong or missing. The message has a line for each, which names it and says what is allowed."""


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
    list_every_s: Annotated[
        Seconds, Meta(description="how often all our ports are listed, to see those that somebody deleted or moved")
    ] = 300.0
    quarantine_after_s: Annotated[
        Seconds, Meta(description="how long a terminating namespace waits for a node's receipt of a released port")
    ] = 30.0


class Sweep(_Section, frozen=True, kw_only=True):
    """The clean-up of what nothing explains: ports of our mark without a pool, KuryrPorts without their pod."""

    every_s: Annotated[Seconds, Meta(description="how often it is looked for")] = 300.0
    after_s: Annotated[Seconds, Meta(description="how long after the first look one more must find the same")] = 120.0
    max_count: Annotated[int, Meta(ge=0, description="most that goes in one sweep without a person; 0: nothing")] = 20
    max_percent: Annotated[
        float, Meta(ge=0, le=100, description="the same, of the cluster's ports; five may always go, if max_count lets")
    ] = 10.0


class ControllerOptions(_Section, frozen=True, kw_only=True):
    """kuryr controller."""

    workers: Annotated[int, Meta(ge=1, le=1000, description="pods handled at the same time")] = 8
    lease_namespace: Annotated[
        str, Meta(min_length=1, max_length=63, description="where the Lease is by which one replica works at a time")
    ] = "kuryr-system"
    http: Http = ""


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
    state_dir: Annotated[
        str, Meta(pattern="^/", description="where the daemon keeps its copy of the node's KuryrPorts")
    ] = "/var/lib/kuryr"
    integration_bridge: Annotated[str, Meta(min_length=1, description="bridge that ovn-controller programs")] = "br-int"
    cni_conf_dir: Annotated[
        str, Meta(pattern="^/", description="where the runtime looks for network configurations")
    ] = "/etc/cni/net.d"
    cni_bin_dir: Annotated[str, Meta(pattern="^/", description="where the runtime looks for plug-ins")] = "/opt/cni/bin"
    chain_portmap: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description="chain the portmap plug-in, for hostPort; auto: where cni_bin_dir has one that speaks CNI "
            "1.1.0; always: an older one too, and then runtimes use 1.0.0, without STATUS and GC"
        ),
    ] = "auto"
    add_timeout_s: Annotated[
        Seconds, Meta(description="how long an ADD waits for the pod's KuryrPort; the plug-in waits 110 s in all")
    ] = 90.0
    plug_timeout_s: Annotated[Seconds, Meta(description="how long an ADD waits for OVN to install its flows")] = 30.0
    http: Http = ""


class Log(_Section, frozen=True, kw_only=True):
    """Logging, to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="least level printed")] = "info"
    format: Annotated[Literal["text", "json"], Meta(description="key=value lines for people, or JSON")] = "text"


class Configuration(_Section, frozen=True, kw_only=True):
    """The whole file."""

    cluster_id: Annotated[
        str, Meta(max_length=64, description="marks this cluster's ports in Neutron; empty: the UID of kube-system")
    ] = ""
    kubernetes: Kubernetes = Kubernetes()
    openstack: OpenStack = OpenStack()
    neutron: NeutronNetwork = NeutronNetwork()
    pools: Pools = Pools()
    sweep: Sweep = Sweep()
    controller: ControllerOptions = ControllerOptions()
    daemon: Daemon = Daemon()
    log: Log = Log()


def load_configuration(path: str, environ: Mapping[str, str]) -> Configuration:
    """Reads the file (an empty path: none) and the environment. Raises `ConfigurationError` with every problem there
    is.
    """
    content: Any = {}
    if path:
        try:
            content = yaml.safe_load(Path(path).read_text()) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    check = _Check(path or "configuration")
    check.section(content, _variables(environ), Configuration, ())
    if check.problems:
        raise ConfigurationError("\n".join(check.problems))
    return msgspec.convert(check.values, Configuration)


def _variables(environ: Mapping[str, str]) -> dict[str, Any]:
    """Our variables as a tree of sections; the leaves are `_Variable`s."""
    tree: dict[str, Any] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or _NOT_OURS.search(name):
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        at = tree
        for section in sections:
            below = at.setdefault(section, {})
            if isinstance(below, _Variable):  # both KURYR_X and KURYR_X__Y are set: one of them is wrong anyway
                below = at[section] = {}
            at = below
        at[key] = _Variable(name, environ[name])
    return tree


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    text: str


class _Check:
    """Walks file and environment along the types: gathers the values, and everything that is wrong with them."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.problems: list[str] = []
        self.values: dict[str, Any] = {}

    def section(self, content: Any, variables: Any, of: type[msgspec.Struct], path: tuple[str, ...]) -> None:
        """`content` is of the file, `variables` of the environment; a section whose keys are all left out is fine."""
        where = ".".join(path) or "the file"
        if isinstance(variables, _Variable):
            self._say(f"{where}: expected a section with keys, found {variables.text!r}", variables.name)
            variables = {}
        if content is None:
            content = {}
        if not isinstance(content, dict):
            self._say(f"{where}: expected a section with keys, found {content!r}")
            content = {}
        allowed = {field.name: field for field in msgspec.structs.fields(of)}
        for key in (*content, *(key for key in variables if key not in content)):
            if key in allowed:
                self._key(content.get(key, _ABSENT), variables.get(key, _ABSENT), allowed[key], (*path, key))
                continue
            sources = _names(variables[key]) if key in variables else []
            for source in ([self._source] if key in content else []) + sources:
                self._say(_unknown(str(key), path, allowed), source)

    def _key(self, content: Any, variable: Any, field: msgspec.structs.FieldInfo, path: tuple[str, ...]) -> None:
        info = inspect.type_info(field.type)
        if isinstance(info, inspect.StructType):
            self.section(
                None if content is _ABSENT else content, {} if variable is _ABSENT else variable, info.cls, path
            )
            return
        source = self._source
        if isinstance(variable, dict):
            for name in _names(variable):
                self._say(f"{'.'.join(path)} has no keys below it", name)
        elif isinstance(variable, _Variable):
            source = variable.name
            content = self._parse(variable, info)
        if content is _ABSENT:
            return
        try:
            msgspec.convert(content, field.type)
        except msgspec.ValidationError as error:
            what = str(error).partition(" - at ")[0]
            self._say(f"{'.'.join(path)}: {what}, found {content!r}{_allowed(info)}", source)
            return
        at = self.values
        for section in path[:-1]:
            at = at.setdefault(section, {})
        at[path[-1]] = content

    def _parse(self, variable: _Variable, info: inspect.Type) -> Any:
        """As YAML; where a text is wanted, as it is: a network may be called 123."""
        if isinstance(_bare(info), inspect.StrType):
            return variable.text
        try:
            return yaml.safe_load(variable.text)
        except yaml.YAMLError as error:
            self._say(f"not YAML: {' '.join(str(error).split())}", variable.name)
            return _ABSENT

    def _say(self, problem: str, source: str = "") -> None:
        self.problems.append(f"{source or self._source}: {problem}")


_ABSENT: Final = object()


def _names(variables: Any) -> list[str]:
    if isinstance(variables, _Variable):
        return [variables.name]
    return [name for below in variables.values() for name in _names(below)]


def _unknown(key: str, path: tuple[str, ...], allowed: Collection[str]) -> str:
    prefix = "".join(f"{section}." for section in path)
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"did you mean {prefix}{close[0]}? " if close else ""
    return f"unknown key {prefix}{key}: {hint}allowed here: {', '.join(allowed)}"


def _bare(info: inspect.Type) -> inspect.Type:
    return info.type if isinstance(info, inspect.Metadata) else info


def _allowed(info: inspect.Type) -> str:
    """What msgspec's message leaves out."""
    bare = _bare(info)
    if isinstance(bare, inspect.LiteralType):
        return f"; allowed: {', '.join(map(str, bare.values))}"
    if isinstance(bare, inspect.VarTupleType):
        return "; write a list: [a, b]"
    return ""


def require(value: str, key: str) -> str:
    """The value of a key that this process cannot do without. Raises `ConfigurationError` naming it."""
    if not value:
        variable = PREFIX + key.upper().replace(".", "__")
        raise ConfigurationError(f"{key} is not set: put it into the configuration file or set {variable}")
    return value


def render_defaults() -> str:
    """The default configuration as a YAML file with every key explained."""
    lines = [
        "# Kuryr's configuration: every key with its default. Times are in seconds.",
        "# Environment variables override it: KURYR_NEUTRON__NETWORK sets network of neutron.",
    ]
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
