"""What the storage holds, typed: what invariants read. Nothing here is a call, so it takes no time and never fails."""

from typing import Any, TypeVar

import msgspec

from kubeloop.model.base import KubeObject
from kubeloop.simulator.storage import Storage, Stored

T = TypeVar("T", bound=KubeObject)


class Truth:
    """Objects as they are now. Each state is decoded once, however often it is asked for."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._decoded: dict[tuple[type[KubeObject], str], tuple[Stored, Any]] = {}

    def get(self, kind: type[T], name: str, *, namespace: str = "") -> T | None:
        """The object, or None."""
        key = f"{namespace}/{name}" if kind.resource.namespaced else name
        stored = self._storage.get(_resource(kind), key)
        return None if stored is None else self._decode(kind, key, stored)

    def list(self, kind: type[T], *, namespace: str = "") -> list[T]:
        """All of them, or those of a namespace, by key."""
        objects = self._storage.objects(_resource(kind))
        prefix = f"{namespace}/" if namespace else ""
        return [self._decode(kind, key, objects[key]) for key in sorted(objects) if key.startswith(prefix)]

    def _decode(self, kind: type[T], key: str, stored: Stored) -> T:
        known = self._decoded.get((kind, key))
        if known is not None and known[0] is stored:
            found: T = known[1]
            return found
        found = msgspec.convert(stored.body, kind)
        self._decoded[kind, key] = (stored, found)
        return found


def _resource(kind: type[KubeObject]) -> str:
    resource = kind.resource
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural
