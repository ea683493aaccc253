"""A request as the services see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

IDENTITY = "/identity"
NETWORK = "/network"
"""The services, below the cloud's URL."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is below the service's root; `parts` are its segments. `request_id` is the service's, for the answer."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    request_id: str

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))

    def json(self) -> Any:
        """Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(self.body)
