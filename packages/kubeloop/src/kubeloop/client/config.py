"""Where an API server is and how to prove who we are: the result of reading a kubeconfig or a service account.

Credentials are asked for an `Identity` before each request, so they are cheap while nothing changes: a token file is
looked at once a second, not at every request. No secret is in a `repr` or an error.
"""

import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from kubeloop.client.errors import Unauthorized
from kubeloop.client.tls import FileStamp, KeyPair, client_context, file_stamp

log = logging.getLogger(__name__)

LOOK_AT_FILES_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What proves who we are in one request. The same object as long as nothing has changed."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key_pair: KeyPair | None = None


class Credentials(Protocol):
    """The source of identities."""

    async def identity(self) -> Identity:
        """The identity now; called for every request, so cheap. Raises `Unauthorized` when there is none to be had."""
        ...

    async def renew(self, refused: Identity) -> bool:
        """After a 401 for `refused`: reads the source again, unless another request has done so since.

        True when the identity is another now, so that the request is worth repeating. Raises `Unauthorized`.
        """
        ...


class Anonymous:
    """No header: a client certificate of the configuration, or nothing, says who we are."""

    def __init__(self) -> None:
        self._identity = Identity()

    async def identity(self) -> Identity:
        return self._identity

    async def renew(self, refused: Identity) -> bool:
        return False


class StaticToken:
    """A bearer token that never changes."""

    def __init__(self, token: str) -> None:
        self._identity = bearer(token)

    async def identity(self) -> Identity:
        return self._identity

    async def renew(self, refused: Identity) -> bool:
        return False


class TokenFile:
    """A bearer token in a file that somebody rotates (the kubelet does, for service accounts).

    A new token is used within a second of its writing. While the file is missing or empty the last token stays in use.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._look_at = 0.0
        self._stamp: FileStamp | None = None
        self._identity: Identity | None = None

    async def identity(self) -> Identity:
        now = self._clock()
        if self._identity is None or now >= self._look_at:
            self._look_at = now + LOOK_AT_FILES_EVERY_S
            self._identity = self._read()
        return self._identity

    async def renew(self, refused: Identity) -> bool:
        self._stamp = None
        self._look_at = 0.0
        return await self.identity() != refused

    def _read(self) -> Identity:
        problem: object = "it is empty"
        try:
            stamp = file_stamp(self._path)
            if self._identity and stamp == self._stamp:
                return self._identity
            token = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            token, problem = "", error
        else:
            if token:
                self._stamp = stamp
                found = bearer(token)
                return found if self._identity is None or found != self._identity else self._identity
        if self._identity is None:
            raise Unauthorized(f"no token in {self._path}: {problem}")
        log.warning("no token in the file; the last one stays in use", extra={"file": str(self._path)})
        return self._identity


def bearer(token: str) -> Identity:
    """The identity of a bearer token."""
    return Identity({"Authorization": f"Bearer {token}"})


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Whom to act as; RBAC must allow us to.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
    """

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def headers(self) -> list[tuple[str, str]]:
        """A header for each group and each value of an extra key, whose name is percent-encoded and lower case."""
        found = [("Impersonate-User", self.user)]
        if self.uid:
            found.append(("Impersonate-Uid", self.uid))
        found += [("Impersonate-Group", group) for group in self.groups]
        for key, values in self.extra.items():
            found += [(f"Impersonate-Extra-{quote(key.lower(), safe='')}", value) for value in values]
        return found


@dataclass(frozen=True)
class ClusterConfig:
    """One API server and one identity. Files are kept as paths, so that what rotates on disk is seen.

    `key_pair` is the client certificate where it was given as data; that of an `Identity` wins over both.
    """

    server: str
    credentials: Credentials = field(default_factory=Anonymous, repr=False)
    ca_file: Path | None = None
    ca_data: str = field(default="", repr=False)
    client_certificate: Path | None = None
    client_key: Path | None = None
    key_pair: KeyPair | None = field(default=None, repr=False)
    verify_tls: bool = True
    tls_server_name: str = ""
    proxy_url: str = field(default="", repr=False)  # may hold a password
    namespace: str = "default"
    impersonation: Impersonation | None = None

    def tls_stamp(self) -> tuple[FileStamp, ...]:
        """Changes when a certificate on disk does: then new connections need a new context. Raises `OSError`."""
        paths = (self.ca_file, self.client_certificate, self.client_key)
        return tuple(file_stamp(path) for path in paths if path is not None)

    def tls_context(self, key_pair: KeyPair | None = None) -> ssl.SSLContext:
        """For connections with `key_pair`, or else the configured certificate. Raises `ssl.SSLError`, `OSError`."""
        return client_context(
            ca_file=self.ca_file,
            ca_data=self.ca_data,
            certificate=self.client_certificate,
            key=self.client_key,
            key_pair=key_pair or self.key_pair,
            verify=self.verify_tls,
        )

    @property
    def trust(self) -> str:
        """Whose signature is accepted, in words, for errors."""
        if self.ca_file:
            return f"the CA in {self.ca_file}"
        return (
            "certificate-authority-data of the kubeconfig" if self.ca_data else "the system's CAs (no CA is configured)"
        )
