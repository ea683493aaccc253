"""Certificates and keys of a control plane for tests: a CA of its own, the API server's certificate, the key that signs
service accounts' tokens. Files are replaced in one step, as those who read them may do so at any time.
"""

import os
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


class Certificates:
    """The files in a folder."""

    def __init__(self, folder: Path, *, names: tuple[str, ...]) -> None:
        """Writes all of them; `names` are the DNS names and IP addresses of the API server."""
        folder.mkdir(parents=True, exist_ok=True)
        self._names = names
        self.ca = folder / "ca.crt"
        self.server = folder / "server.crt"
        self.server_key = folder / "server.key"
        self.accounts = folder / "accounts.pub"
        self.accounts_key = folder / "accounts.key"
        self.renew()
        key = ec.generate_private_key(ec.SECP256R1())
        write_file(self.accounts_key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        write_file(self.accounts, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def renew(self) -> None:
        """A new CA, and the API server's certificate from it; service accounts' tokens stay good."""
        authority = trustme.CA(organization_name="kubeloop tests")
        issued = authority.issue_cert(*self._names, common_name="kube-apiserver")
        write_file(self.ca, authority.cert_pem.bytes())
        write_file(self.server, b"".join(part.bytes() for part in issued.cert_chain_pems))
        write_file(self.server_key, issued.private_key_pem.bytes())


def write_file(path: Path, content: bytes) -> None:
    """Replaces a file in one step; only its owner may read it."""
    new = path.with_name(f".{path.name}.new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    os.replace(new, path)
