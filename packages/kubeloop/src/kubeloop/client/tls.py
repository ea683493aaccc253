"""TLS contexts, and the files they are made of.

The server is verified unless the configuration says otherwise, as Go's verifier does it: the given CAs are the only
trust anchors, also where one is an intermediate, and a CA without the extensions that OpenSSL calls strict is taken.
A private key that came as data touches no disk: OpenSSL loads client certificates only from files, so it gets one in
memory that is gone when it has been read.
"""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A client certificate (with its chain) and its private key, as PEM."""

    certificate: str = field(repr=False)
    key: str = field(repr=False)


FileStamp = tuple[int, int, int]


def file_stamp(path: Path) -> FileStamp:
    """Differs once the file was written anew or another took its place.

    It follows symlinks: the kubelet rotates a mounted volume by pointing `..data` at a new directory. Raises `OSError`.
    """
    found = path.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def client_context(
    *,
    ca_file: Path | None = None,
    ca_data: str = "",
    certificate: Path | None = None,
    key: Path | None = None,
    key_pair: KeyPair | None = None,
    verify: bool = True,
) -> ssl.SSLContext:
    """A context for connections to one server; without a CA the system's are trusted.

    Raises `ssl.SSLError` or `OSError` for what does not load, as a file that is being written does.
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None, cadata=ca_data or None)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # on by default from Python 3.13
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if key_pair:
        with _file_of(f"{key_pair.certificate}\n{key_pair.key}\n") as path:
            context.load_cert_chain(path)
    elif certificate:
        context.load_cert_chain(certificate, key)
    return context


@contextmanager
def _file_of(secret: str) -> Iterator[str]:
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("kubeloop"), "w") as file:
            file.write(secret)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile("w") as file:  # mode 0600
            file.write(secret)
            file.flush()
            yield file.name
