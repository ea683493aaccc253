"""Reads a kubeconfig, or the service account of a pod, into a `ClusterConfig`.

Understood: several files in KUBECONFIG (the first to name a thing wins), contexts, CA and client certificates as data
or files, tokens and token files, tls-server-name, insecure-skip-tls-verify, proxy-url. Exec plug-ins are refused with a
clear error until they are built. https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kubeloop.client.config import Anonymous, ClusterConfig, Credentials, StaticToken, TokenFile
from kubeloop.client.errors import ConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def load_config(kubeconfig: str = "", context: str = "", *, environ: Mapping[str, str] = os.environ) -> ClusterConfig:
    """The cluster that a user would expect.

    In order: the file given, the files of $KUBECONFIG, ~/.kube/config, the pod's service account. Raises `ConfigError`,
    which says what was tried.
    """
    if kubeconfig:
        return parse_kubeconfig([Path(kubeconfig)], context)
    named = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return parse_kubeconfig(named, context)
    home = Path(environ.get("HOME", "/")) / ".kube" / "config"
    if home.exists():
        return parse_kubeconfig([home], context)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster_config(environ=environ)
    raise ConfigError(
        f"no Kubernetes API server is configured: KUBECONFIG is not set, {home} is not there and this is not a pod "
        "(KUBERNETES_SERVICE_HOST is not set)"
    )


def in_cluster_config(
    *, environ: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT
) -> ClusterConfig:
    """The service account of the pod this runs in. Token and CA may rotate: both are read again when they change."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("not in a pod: KUBERNETES_SERVICE_HOST is not set; give a kubeconfig")
    for name in ("token", "ca.crt"):
        if not (service_account / name).exists():
            raise ConfigError(f"{service_account / name} is missing: is automountServiceAccountToken off?")
    namespace = service_account / "namespace"
    return ClusterConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        credentials=TokenFile(service_account / "token"),
        ca_file=service_account / "ca.crt",
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def parse_kubeconfig(files: list[Path], context: str = "") -> ClusterConfig:
    """Merges the files and picks one context. Raises `ConfigError`."""
    merged: dict[str, dict[str, tuple[Any, Path]]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = context
    found = [file for file in files if file.exists()]
    if not found:
        raise ConfigError(f"no such kubeconfig: {', '.join(map(str, files))}")
    for file in found:
        content = _read(file)
        current = current or str(content.get("current-context") or "")
        for section, entries in merged.items():
            for entry in content.get(section) or []:
                entries.setdefault(entry["name"], (entry.get(section[:-1]) or {}, file))
    where = ", ".join(map(str, found))
    if not current:
        raise ConfigError(f"{where}: no current-context; choose one of: {', '.join(merged['contexts']) or '(none)'}")
    chosen, _ = _entry(merged["contexts"], current, "context", where)
    cluster, cluster_file = _entry(merged["clusters"], str(chosen.get("cluster") or ""), "cluster", where)
    user: dict[str, Any] = {}
    user_file = cluster_file
    if chosen.get("user"):
        user, user_file = _entry(merged["users"], str(chosen["user"]), "user", where)
    return _cluster_config(cluster, cluster_file, user, user_file, str(chosen.get("namespace") or "default"))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: is not a kubeconfig")
    return content


def _entry(entries: dict[str, tuple[Any, Path]], name: str, kind: str, where: str) -> tuple[Any, Path]:
    if name not in entries:
        raise ConfigError(f"{where}: no {kind} named {name!r}; there are: {', '.join(entries) or '(none)'}")
    return entries[name]


def _cluster_config(
    cluster: dict[str, Any], cluster_file: Path, user: dict[str, Any], user_file: Path, namespace: str
) -> ClusterConfig:
    server = str(cluster.get("server") or "")
    if not server.startswith(("https://", "http://")):
        raise ConfigError(f"{cluster_file}: the cluster has no usable server: {server!r}")
    certificate = _file_of(user, "client-certificate", user_file)
    key = _file_of(user, "client-key", user_file)
    if bool(certificate) != bool(key):
        raise ConfigError(f"{user_file}: client-certificate and client-key go together")
    ca_data = _decode(cluster, "certificate-authority-data", cluster_file)
    return ClusterConfig(
        server=server,
        credentials=_credentials(user, user_file),
        ca_file=None if ca_data else _path(cluster, "certificate-authority", cluster_file),
        ca_data=ca_data,
        client_certificate=certificate,
        client_key=key,
        verify_tls=not cluster.get("insecure-skip-tls-verify", False),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        proxy_url=str(cluster.get("proxy-url") or ""),
        namespace=namespace,
    )


def _credentials(user: dict[str, Any], file: Path) -> Credentials:
    for unknown in ("exec", "auth-provider", "username"):
        if user.get(unknown):
            raise ConfigError(
                f"{file}: `{unknown}` credentials are not supported; use a token, tokenFile or certificate"
            )
    token_file = _path(user, "tokenFile", file)  # wins over token, as in client-go
    if token_file:
        return TokenFile(token_file)
    return StaticToken(str(user["token"])) if user.get("token") else Anonymous()


def _path(entry: dict[str, Any], name: str, file: Path) -> Path | None:
    value = entry.get(name)
    return (file.parent / str(value)).resolve() if value else None


def _decode(entry: dict[str, Any], name: str, file: Path) -> str:
    try:
        return base64.b64decode(str(entry.get(name) or ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {name} is not base64 of PEM: {error}") from error


def _file_of(entry: dict[str, Any], name: str, file: Path) -> Path | None:
    """A certificate as a file: OpenSSL loads client certificates only from files."""
    data = _decode(entry, f"{name}-data", file)
    if not data:
        return _path(entry, name, file)
    descriptor, path = tempfile.mkstemp(prefix="kubeloop-")  # mode 0600
    with os.fdopen(descriptor, "w") as written:
        written.write(data)
    return Path(path)
