"""clouds.yaml, secure.yaml and clouds-public.yaml, as openstacksdk's users know them: one cloud as plain data.

Each file is looked for in the working folder, in ~/.config/openstack and in /etc/openstack, under the suffixes .yaml,
.yml and .json; the first found counts. $OS_CLIENT_CONFIG_FILE and $OS_CLIENT_SECURE_FILE name two of them, and so does
our own configuration, whose clouds.yaml may have its secure.yaml beside it. A file that is named must be there.
secure.yaml is merged over clouds.yaml; a cloud's `profile` is merged under it, from clouds-public.yaml only: the
vendors' profiles that openstacksdk ships are not here.

https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kuryr.openstack.errors import CloudConfigError

_SUFFIXES = (".yaml", ".yml", ".json")  # JSON is YAML
_OVERRIDE = "_endpoint_override"


@dataclass(frozen=True, slots=True)
class Cloud:
    """How to reach one cloud. `auth` is what keystoneauth's plug-in `auth_type` takes."""

    name: str
    auth: Mapping[str, str] = field(repr=False)
    auth_type: str = "password"
    region: str = ""
    interface: str = "public"
    ca_file: str = ""
    verify: bool = True
    endpoint_overrides: Mapping[str, str] = field(default_factory=dict)


def load_cloud(name: str, clouds_file: str = "", *, environ: Mapping[str, str] = os.environ) -> Cloud:
    """The cloud `name`, else $OS_CLOUD, else the only one there is. Raises `CloudConfigError`."""
    path = _find("clouds", clouds_file or environ.get("OS_CLIENT_CONFIG_FILE", ""), environ)
    if path is None:
        raise CloudConfigError(f"no clouds.yaml: looked for {', '.join(map(str, _places('clouds', environ)))}")
    clouds = _read(path, "clouds")
    secrets = _find_secrets(path if clouds_file else None, environ)
    if secrets is not None:
        clouds = _merge(clouds, _read(secrets, "clouds"))
    name = name or environ.get("OS_CLOUD", "") or (next(iter(clouds)) if len(clouds) == 1 else "")
    if name not in clouds:
        there = f"set openstack.cloud to one of: {', '.join(clouds)}" if clouds else "there is none"
        raise CloudConfigError(f"{path}: no cloud named {name!r}; {there}")
    return _parse(name, _with_profile(clouds[name], environ), path)


def _places(stem: str, environ: Mapping[str, str]) -> list[Path]:
    folders = (Path(), Path(environ.get("HOME", "/")) / ".config/openstack", Path("/etc/openstack"))
    return [folder / f"{stem}{suffix}" for folder in folders for suffix in _SUFFIXES]


def _find(stem: str, given: str, environ: Mapping[str, str]) -> Path | None:
    if given:
        if Path(given).exists():
            return Path(given)
        raise CloudConfigError(f"{given} is not there")
    return next((place for place in _places(stem, environ) if place.exists()), None)


def _find_secrets(given_clouds: Path | None, environ: Mapping[str, str]) -> Path | None:
    given = environ.get("OS_CLIENT_SECURE_FILE", "")
    if given_clouds is not None and not given:
        beside = (given_clouds.with_name(f"secure{suffix}") for suffix in _SUFFIXES)
        return next((place for place in beside if place.exists()), None) or _find("secure", "", environ)
    return _find("secure", given, environ)


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        content = (yaml.safe_load(path.read_text()) or {}).get(key) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise CloudConfigError(f"{path}: cannot be read as {path.name}: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        raise CloudConfigError(f"{path}: {key} is not a mapping of names to clouds")
    return {str(name): one for name, one in content.items()}


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _with_profile(cloud: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    profile = cloud.get("profile")
    if not profile:
        return cloud
    path = _find("clouds-public", "", environ)
    public = _read(path, "public-clouds") if path is not None else {}
    if profile not in public:
        there = f"{path} has: {', '.join(public)}" if path is not None else "there is no clouds-public.yaml"
        raise CloudConfigError(f"no profile named {profile!r}: {there}")
    return _merge(public[profile], cloud)


def _parse(name: str, cloud: dict[str, Any], path: Path) -> Cloud:
    auth = cloud.get("auth")
    if not isinstance(auth, dict) or not (auth.get("auth_url") or auth.get("endpoint")):
        raise CloudConfigError(f"{path}: cloud {name!r} has no auth.auth_url")
    insecure = yaml.safe_load(str(cloud.get("insecure", False)))
    verify = yaml.safe_load(str(cloud.get("verify", True)))
    if not isinstance(insecure, bool) or not isinstance(verify, bool):
        raise CloudConfigError(f"{path}: cloud {name!r}: verify and insecure are true or false")
    ca_file = str(Path(cloud["cacert"]).expanduser()) if cloud.get("cacert") else ""
    if ca_file and not Path(ca_file).is_file():
        raise CloudConfigError(f"{path}: cloud {name!r}: there is no cacert {ca_file}")
    try:
        ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise CloudConfigError(f"{path}: cloud {name!r}: cacert {ca_file} holds no certificate in PEM") from error
    return Cloud(
        name=name,
        auth={str(key): str(value) for key, value in auth.items()},
        auth_type=str(cloud.get("auth_type") or "password"),
        region=str(cloud.get("region_name") or ""),
        interface=str(cloud.get("interface") or "public").removesuffix("URL"),
        ca_file=ca_file,
        verify=verify and not insecure,
        endpoint_overrides={
            key.removesuffix(_OVERRIDE).replace("_", "-"): str(value)
            for key, value in cloud.items()
            if key.endswith(_OVERRIDE)
        },
    )
