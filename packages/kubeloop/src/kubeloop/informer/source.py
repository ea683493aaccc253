"""The two seams of the reflector: the `Source` that it asks, and the `Sink` that it keeps equal to it.

`Client` is a `Source`; a test's model of a server is another. `Informer` is the `Sink`.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from kubeloop.client.watching import WatchEvent
from kubeloop.model.base import KubeObject, ObjectKey
from kubeloop.model.codec import ListPage, Undecodable

T = TypeVar("T", bound=KubeObject)
T_contra = TypeVar("T_contra", bound=KubeObject, contravariant=True)


class Source(Protocol):
    """What a reflector needs of a client. Its methods raise only `ApiError`s."""

    async def list(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
    ) -> ListPage[T]:
        """See `Client.list`."""
        ...

    def watch(
        self,
        kind: type[T],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_s: int = 300,
        send_initial_events: bool = False,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[T]]]:
        """See `Client.watch`."""
        ...


class Sink(Protocol[T_contra]):
    """Who gets what the reflector learns. Versions never go back, calls do not block and do not raise."""

    def replaced(
        self, objects: Collection[T_contra], undecodable: Collection[Undecodable], version: str, reason: str
    ) -> None:
        """All there is at `version`, and why it was asked for (`initial`, `gone`, `asked`)."""
        ...

    def changed(self, obj: T_contra, version: str) -> None:
        """An object was added or modified."""
        ...

    def deleted(self, key: ObjectKey, last: T_contra | None, version: str) -> None:
        """An object is gone, or not selected any more; `last` is its final state, if that decodes."""
        ...

    def not_decoded(self, broken: Undecodable, version: str) -> None:
        """An object was added or modified, and its new state does not decode."""
        ...

    def advanced(self, version: str) -> None:
        """A bookmark: nothing of the collection is new up to `version`."""
        ...
