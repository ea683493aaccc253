"""Reads a kubeconfig, or the service account of a pod, into a `ClusterConfig`.

Understood: several files in KUBECONFIG (the first to name a thing wins), contexts, CA and client certificates as data
or files, tokens, token files and exec plug-ins, impersonation, tls-server-name, insecure-skip-tls-verify, proxy-url.
What is wrong is said here, at the start, with the file's name: certificates are loaded once, an exec plug-in must be
there. Basic auth and auth-provider are refused: Kubernetes has neither any more.
https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import base64
import binascii
import os
import shutil
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubeloop.client.config import Anonymous, ClusterConfig, Credentials, Impersonation, StaticToken, TokenFile
from kubeloop.client.errors import ConfigError
from kubeloop.client.exec_plugin import API_VERSIONS, Command, ExecPlugin
from kubeloop.client.tls import KeyPair

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
            for name, entry in _named(content, section, file):
                entries.setdefault(name, (entry, file))
    where = ", ".join(map(str, found))
    if not current:
        raise ConfigError(f"{where}: no current-context; choose one of: {', '.join(merged['contexts']) or '(none)'}")
    chosen, _ = _entry(merged["contexts"], current, "context", where)
    cluster, cluster_file = _entry(merged["clusters"], str(chosen.get("cluster") or ""), "cluster", where)
    user: dict[str, Any] = {}
    user_file = cluster_file
    if chosen.get("user"):
        user, user_file = _entry(merged["users"], str(chosen["user"]), "user", where)
    try:
        return _cluster_config(cluster, cluster_file, user, user_file, str(chosen.get("namespace") or "default"))
    except (TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{where}: a field of context {current!r} is not of the right shape: {error!r}") from error


def _read(file: Path) -> dict[str, Any]:
    import yaml  # 2.5 MB that no controller in a cluster needs

    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: is not a kubeconfig")
    return content


def _named(content: dict[str, Any], section: str, file: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        found = [(str(one["name"]), one.get(section[:-1]) or {}) for one in content.get(section) or []]
    except (TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{file}: {section} is not a list of named entries") from error
    if not all(isinstance(entry, dict) for _, entry in found):
        raise ConfigError(f"{file}: an entry of {section} is not a mapping")
    return found


def _entry(entries: dict[str, tuple[Any, Path]], name: str, kind: str, where: str) -> tuple[Any, Path]:
    if name not in entries:
        raise ConfigError(f"{where}: no {kind} named {name!r}; there are: {', '.join(entries) or '(none)'}")
    return entries[name]


def _cluster_config(
    cluster: dict[str, Any], cluster_file: Path, user: dict[str, Any], user_file: Path, namespace: str
) -> ClusterConfig:
    certificate_data = _decode(user, "client-certificate-data", user_file)
    key_data = _decode(user, "client-key-data", user_file)
    certificate = None if certificate_data else _path(user, "client-certificate", user_file)
    key = None if key_data else _path(user, "client-key", user_file)
    if bool(certificate or certificate_data) != bool(key or key_data):
        raise ConfigError(f"{user_file}: client-certificate and client-key go together")
    if bool(certificate) != bool(key):  # one is data, one a file
        certificate_data = certificate_data or _text(certificate, user_file)
        key_data = key_data or _text(key, user_file)
        certificate = key = None
    ca_data = _decode(cluster, "certificate-authority-data", cluster_file)
    config = ClusterConfig(
        server=_server(cluster, cluster_file),
        credentials=_credentials(user, user_file, cluster, cluster_file),
        ca_file=None if ca_data else _path(cluster, "certificate-authority", cluster_file),
        ca_data=ca_data,
        client_certificate=certificate,
        client_key=key,
        key_pair=KeyPair(certificate_data, key_data) if certificate_data else None,
        verify_tls=not cluster.get("insecure-skip-tls-verify", False),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        proxy_url=_proxy(cluster, cluster_file),
        namespace=namespace,
        impersonation=_impersonation(user, user_file),
    )
    _check_certificates(config, cluster_file, user_file)
    return config


def _server(cluster: dict[str, Any], file: Path) -> str:
    server = str(cluster.get("server") or "")
    if not server.startswith(("https://", "http://")):
        raise ConfigError(f"{file}: the cluster has no usable server: {server!r}")
    return server


def _proxy(cluster: dict[str, Any], file: Path) -> str:
    url = str(cluster.get("proxy-url") or "")
    if url and not url.startswith(("http://", "https://")):
        raise ConfigError(f"{file}: proxy-url must be http:// or https://; {url.partition(':')[0]} is not supported")
    return url


def _check_certificates(config: ClusterConfig, cluster_file: Path, user_file: Path) -> None:
    if not config.verify_tls and (config.ca_file or config.ca_data):
        raise ConfigError(f"{cluster_file}: insecure-skip-tls-verify and a certificate-authority exclude each other")
    try:
        replace(config, client_certificate=None, client_key=None, key_pair=None).tls_context()
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{cluster_file}: {config.trust} cannot be loaded: {error}") from error
    try:
        config.tls_context()
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{user_file}: client-certificate and client-key cannot be loaded: {error}") from error


def _credentials(user: dict[str, Any], file: Path, cluster: dict[str, Any], cluster_file: Path) -> Credentials:
    """A token wins over an exec plug-in, a token file over a token, as in client-go."""
    for gone in ("auth-provider", "username", "password"):
        if user.get(gone):
            raise ConfigError(
                f"{file}: `{gone}` is not supported by Kubernetes any more; use a token, tokenFile, client "
                "certificate or exec plug-in"
            )
    token_file = _path(user, "tokenFile", file)
    if token_file:
        return TokenFile(token_file)
    if user.get("token"):
        return StaticToken(str(user["token"]))
    if user.get("exec"):
        return ExecPlugin(_command(user["exec"], file, cluster, cluster_file))
    return Anonymous()


def _command(exec_: dict[str, Any], file: Path, cluster: dict[str, Any], cluster_file: Path) -> Command:
    name = str(exec_.get("command") or "")
    version = str(exec_.get("apiVersion") or "")
    mode = str(exec_.get("interactiveMode") or ("" if version == API_VERSIONS[0] else "IfAvailable"))
    if not name:
        raise ConfigError(f"{file}: exec has no command")
    if version not in API_VERSIONS:
        raise ConfigError(f"{file}: exec apiVersion {version!r} is not supported; there are {', '.join(API_VERSIONS)}")
    if mode == "Always":
        raise ConfigError(f"{file}: exec plug-in {name!r} needs a terminal (interactiveMode: Always); there is none")
    if mode not in ("Never", "IfAvailable"):
        raise ConfigError(f"{file}: exec interactiveMode must be Never or IfAvailable for {version}, not {mode!r}")
    if os.sep in name:
        name = str((file.parent / name).absolute())
    command = Command(
        argv=(name, *map(str, exec_.get("args") or [])),
        api_version=version,
        env={str(entry["name"]): str(entry["value"]) for entry in exec_.get("env") or []},
        cluster=_told_cluster(cluster, cluster_file) if exec_.get("provideClusterInfo") else None,
        install_hint=str(exec_.get("installHint") or "").strip(),
    )
    if shutil.which(name) is None:
        raise ConfigError(f"{file}: {command.missing}")
    return command


def _told_cluster(cluster: dict[str, Any], file: Path) -> dict[str, Any]:
    """What an exec plug-in is told: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/#client-authentication-k8s-io-v1-Cluster."""
    told = {
        name: cluster[name]
        for name in ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
        if cluster.get(name)
    }
    ca_file = _path(cluster, "certificate-authority", file)
    if cluster.get("certificate-authority-data"):
        told["certificate-authority-data"] = str(cluster["certificate-authority-data"])
    elif ca_file:
        told["certificate-authority-data"] = base64.b64encode(_text(ca_file, file).encode()).decode()
    for extension in cluster.get("extensions") or []:
        if extension.get("name") == "client.authentication.k8s.io/exec":
            told["config"] = extension.get("extension")
    return told


def _impersonation(user: dict[str, Any], file: Path) -> Impersonation | None:
    if not user.get("as"):
        if any(user.get(name) for name in ("as-uid", "as-groups", "as-user-extra")):
            raise ConfigError(f"{file}: impersonating a uid, groups or extra values needs a user (as)")
        return None
    return Impersonation(
        user=str(user["as"]),
        uid=str(user.get("as-uid") or ""),
        groups=tuple(map(str, user.get("as-groups") or [])),
        extra={str(key): tuple(map(str, values)) for key, values in (user.get("as-user-extra") or {}).items()},
    )


def _path(entry: dict[str, Any], name: str, file: Path) -> Path | None:
    """Relative to the kubeconfig. Symlinks stay: what rotates is swapped by them."""
    value = entry.get(name)
    return (file.parent / str(value)).absolute() if value else None


def _text(path: Path | None, file: Path) -> str:
    try:
        return path.read_text() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {path} cannot be read: {error}") from error


def _decode(entry: dict[str, Any], name: str, file: Path) -> str:
    try:
        return base64.b64decode(str(entry.get(name) or ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {name} is not base64 of PEM: {error}") from error
