"""clouds.yaml: https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html.

One cloud of it, as plain data.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kuryr.openstack.errors import CloudConfigError


@dataclass(frozen=True, slots=True)
class Cloud:
    """How to reach one cloud. `auth` is what keystoneauth's plug-in `auth_type` takes."""

    name: str
    auth: Mapping[str, str]
    auth_type: str = "password"
    region: str = ""
    interface: str = "public"
    ca_file: str = ""
    verify: bool = True
    endpoint_overrides: Mapping[str, str] = field(default_factory=dict)


def load_cloud(name: str, clouds_file: str = "", *, environ: Mapping[str, str] = os.environ) -> Cloud:
    """The cloud `name` (else $OS_CLOUD) of the file given, else $OS_CLIENT_CONFIG_FILE, else the usual places."""
    path = _find(clouds_file or environ.get("OS_CLIENT_CONFIG_FILE", ""), environ)
    name = name or environ.get("OS_CLOUD", "")
    try:
        clouds = (yaml.safe_load(path.read_text()) or {}).get("clouds") or {}
    except (OSError, yaml.YAMLError, AttributeError) as error:
        raise CloudConfigError(f"{path}: cannot be read as clouds.yaml: {error}") from error
    if name not in clouds:
        raise CloudConfigError(f"{path}: no cloud named {name!r}; set openstack.cloud to one of: {', '.join(clouds)}")
    return _parse(name, clouds[name], path)


def _find(given: str, environ: Mapping[str, str]) -> Path:
    usual = [Path("clouds.yaml"), Path(environ.get("HOME", "/")) / ".config/openstack/clouds.yaml"]
    places = [Path(given)] if given else [*usual, Path("/etc/openstack/clouds.yaml")]
    for place in places:
        if place.exists():
            return place
    raise CloudConfigError(f"no clouds.yaml: looked for {', '.join(map(str, places))}")


def _parse(name: str, cloud: dict[str, Any], path: Path) -> Cloud:
    auth = cloud.get("auth")
    if not isinstance(auth, dict) or not auth.get("auth_url"):
        raise CloudConfigError(f"{path}: cloud {name!r} has no auth.auth_url")
    suffix = "_endpoint_override"
    return Cloud(
        name=name,
        auth={str(key): str(value) for key, value in auth.items()},
        auth_type=str(cloud.get("auth_type") or "password"),
        region=str(cloud.get("region_name") or ""),
        interface=str(cloud.get("interface") or "public").removesuffix("URL"),
        ca_file=str(cloud.get("cacert") or ""),
        verify=bool(cloud.get("verify", True)),
        endpoint_overrides={
            key.removesuffix(suffix).replace("_", "-"): str(value)
            for key, value in cloud.items()
            if key.endswith(suffix)
        },
    )
