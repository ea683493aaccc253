"""Where an API server is and how to prove who we are: the result of reading a kubeconfig or a service account."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Credentials(Protocol):
    """What goes into the headers of each request."""

    def headers(self) -> dict[str, str]:
        """The headers now; cheap, called for every request."""
        ...

    def renew(self) -> bool:
        """After a 401: reads the source again; True when something changed and the request is worth repeating."""
        ...


class Anonymous:
    """No header: a client certificate, or nothing, says who we are."""

    def headers(self) -> dict[str, str]:
        return {}

    def renew(self) -> bool:
        return False


class StaticToken:
    """A bearer token that never changes."""

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}

    def headers(self) -> dict[str, str]:
        return self._headers

    def renew(self) -> bool:
        return False


class TokenFile:
    """A bearer token in a file that somebody rotates (the kubelet does, for service accounts): read when the file
    changes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._headers: dict[str, str] = {}

    def headers(self) -> dict[str, str]:
        found = self._path.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._headers = {"Authorization": f"Bearer {self._path.read_text().strip()}"}
            self._stamp = stamp
        return self._headers

    def renew(self) -> bool:
        before, self._stamp = self._headers, None
        return self.headers() != before


@dataclass(frozen=True)
class ClusterConfig:
    """One API server and one identity. Files are kept as paths, so that what rotates on disk is seen."""

    server: str
    credentials: Credentials = field(default_factory=Anonymous)
    ca_file: Path | None = None
    ca_data: str = ""
    client_certificate: Path | None = None
    client_key: Path | None = None
    verify_tls: bool = True
    tls_server_name: str = ""
    proxy_url: str = ""
    namespace: str = "default"

    def tls_stamp(self) -> tuple[int, ...]:
        """Changes when a certificate on disk does: then connections are made anew."""
        paths = (self.ca_file, self.client_certificate, self.client_key)
        return tuple(path.stat().st_mtime_ns for path in paths if path is not None)

    def tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(
            cafile=str(self.ca_file) if self.ca_file else None, cadata=self.ca_data or None
        )
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate:
            context.load_cert_chain(self.client_certificate, self.client_key)
        return context
