"""Lists: from the watch cache, the storage, or a moment of the past; in pages.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

import base64
import binascii
from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.options import ListOptions
from kubeloop.simulator.refusals import Body, Refusal, bad_request
from kubeloop.simulator.storage import Compacted, Storage, Stored
from kubeloop.simulator.watch_cache import WatchCache

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class _Token(msgspec.Struct):
    """Where a list goes on: the state of `rv` (-1: of now), from the key `start`."""

    v: str
    rv: int
    start: str


class Page(msgspec.Struct):
    """What a list answers with."""

    found: list[Stored]
    meta: Body


def page(storage: Storage, cache: WatchCache, kind: Kind, namespace: str, options: ListOptions) -> Page:
    """Raises `Refusal`."""
    token = _read_token(options.continue_) if options.continue_ else None
    if token is not None and options.version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    objects, keys, revision = _state(storage, cache, kind, options, token)
    prefix = f"{namespace}/" if namespace else ""
    start = bisect_left(keys, token.start if token else prefix)
    found: list[Stored] = []
    limit = options.limit if options.version != "0" and options.limit > 0 else 0  # the cache gives everything
    end = len(keys)
    for index in range(start, end):
        key = keys[index]
        if prefix and not key.startswith(prefix):
            end = index
            break
        stored = objects[key]
        if options.selects and not options.selected(stored.body):
            continue
        if limit and len(found) == limit:
            return Page(found, _more(kind, options, revision, keys, index, prefix))
        found.append(stored)
    meta: Body = {"resourceVersion": str(revision)}
    if kind.custom:
        meta["continue"] = ""  # the real server says so for custom kinds alone
    return Page(found, meta)


def _more(kind: Kind, options: ListOptions, revision: int, keys: list[str], index: int, prefix: str) -> Body:
    """The metadata of a page after which there are others."""
    token = _Token("meta.k8s.io/v1", revision, f"{keys[index - 1]}\0")
    text = base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()
    meta: Body = {"resourceVersion": str(revision), "continue": text}
    if not options.selects:
        end = bisect_left(keys, prefix[:-1] + "0") if prefix else len(keys)  # "0" comes right after "/"
        meta["remainingItemCount"] = end - index
    return meta


def _state(
    storage: Storage, cache: WatchCache, kind: Kind, options: ListOptions, token: _Token | None
) -> tuple[dict[str, Stored], list[str], int]:
    """Objects, their keys in order, and the version of that state."""
    if token is not None and token.rv > 0:
        try:
            objects = storage.objects_at(kind.resource, token.rv)
        except Compacted:
            raise _expired_token(storage.revision, token) from None
        return objects, _sorted(objects, storage, cache), token.rv
    try:
        version = read_version(options.version)
    except Refusal as refusal:
        raise bad_request(f"invalid resource version: {refusal.message}") from None
    if token is None and options.match == "Exact":
        if version > storage.revision:
            raise too_large(version, storage.revision)
        try:
            objects = storage.objects_at(kind.resource, version)
        except Compacted:
            raise expired(f"The resourceVersion for the provided list is too old: {version}") from None
        return objects, _sorted(objects, storage, cache), version
    if token is None and options.version:
        if version > cache.version:
            raise too_large(version, cache.version)
        return cache.objects, cache.sorted_keys(), cache.version
    if cache.version == storage.revision:
        return cache.objects, cache.sorted_keys(), cache.version
    objects = storage.objects(kind.resource)
    return objects, sorted(objects), storage.revision


def _sorted(objects: dict[str, Stored], storage: Storage, cache: WatchCache) -> list[str]:
    """The keys in order; the cache knows that of the present."""
    current = objects is storage.objects(cache.resource) and cache.version == storage.revision
    return cache.sorted_keys() if current else sorted(objects)


def read_version(text: str) -> int:
    """Raises `Refusal` for what is no version: 500, where a list answers with 400."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise Refusal(500, "", why)
    if int(text) >= 2**64:
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": value out of range'
        raise Refusal(500, "", why)
    return int(text)


def too_large(version: int, current: int) -> Refusal:
    """A version of the future: the client should ask again."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    text = f"Timeout: Too large resource version: {version}, current: {current}"
    return Refusal(504, "Timeout", text, details={"causes": [cause], "retryAfterSeconds": 1})


def expired(message: str) -> Refusal:
    return Refusal(410, "Expired", message)


def _expired_token(revision: int, token: _Token) -> Refusal:
    rest = _Token(token.v, -1, token.start)
    text = base64.urlsafe_b64encode(msgspec.json.encode(rest)).rstrip(b"=").decode()
    refusal = expired(_EXPIRED)
    refusal.meta = {"resourceVersion": str(revision), "continue": text}
    return refusal


def _read_token(text: str) -> _Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None


def encode_list(kind: Kind, found: Iterable[Stored], meta: Body) -> bytes:
    """The list as JSON, of the items' encoded bytes."""
    head = msgspec.json.encode({"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta})
    items = [stored.encoded(kind) for stored in found]
    if not kind.custom:
        start = len(type_prefix(kind))
        items = [b"{" + item[start:] for item in items]  # core kinds do not repeat what they are
    return b'%b,"items":[%b]}' % (head[:-1], b",".join(items))


def type_prefix(kind: Kind) -> bytes:
    """How each stored object begins."""
    return b'{"kind":"%b","apiVersion":"%b",' % (kind.kind.encode(), kind.api_version.encode())
