"""The options of requests, as query parameters and bodies say them, with the real server's rules for them."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from kubeloop.client.transport import JSON, Request
from kubeloop.simulator.causes import quoted, too_long
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body, Cause, bad_request, invalid, unsupported_media_type
from kubeloop.simulator.requests import media_type, read_json
from kubeloop.simulator.selectors import Predicate, field_predicate, label_predicate

_META = "meta.k8s.io"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_LONGEST_MANAGER = 128


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Of lists and watches. An empty version means the newest state."""

    labels: Predicate | None
    fields: Predicate | None
    version: str
    match: str
    limit: int
    continue_: str
    timeout_s: float | None
    bookmarks: bool
    initial_events: bool | None

    @property
    def selects(self) -> bool:
        return self.labels is not None or self.fields is not None

    def selected(self, body: Body) -> bool:
        return (self.labels is None or self.labels(body)) and (self.fields is None or self.fields(body))


def list_options(query: dict[str, str], kind: Kind, *, watch: bool) -> ListOptions:
    """Raises `Refusal`."""
    timeout = query.get("timeoutSeconds")
    options = ListOptions(
        labels=label_predicate(query.get("labelSelector", "")),
        fields=field_predicate(query.get("fieldSelector", ""), kind.paths, kind.unselectable),
        version=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
        limit=_integer(query.get("limit", "0")),
        continue_=query.get("continue", ""),
        timeout_s=float(_integer(timeout)) if timeout else None,
        bookmarks=boolean(query.get("allowWatchBookmarks")) or False,
        initial_events=boolean(query.get("sendInitialEvents")),
    )
    causes = _watch_causes(options) if watch else _list_causes(options)
    if causes:
        raise invalid("ListOptions", "", causes, group=_META)
    return options


def _list_causes(options: ListOptions) -> list[Cause]:
    causes: list[Cause] = []
    match, version = options.match, options.version
    if match and not version:
        text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        causes.append(_forbidden("resourceVersionMatch", text))
    if match and options.continue_:
        text = "resourceVersionMatch is forbidden when continue is provided"
        causes.append(_forbidden("resourceVersionMatch", text))
    if match and match not in ("Exact", "NotOlderThan"):
        causes.append(_unsupported("resourceVersionMatch", f'"{match}"', '"Exact", "NotOlderThan", ""'))
    if match == "Exact" and version == "0":
        text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(_forbidden("resourceVersionMatch", text))
    if options.initial_events is not None:
        causes.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _watch_causes(options: ListOptions) -> list[Cause]:
    causes: list[Cause] = []
    if options.initial_events is not None and options.match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(_forbidden("resourceVersionMatch", text))
    elif options.match and options.initial_events is None:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(_forbidden("resourceVersionMatch", text))
    if options.match and options.match != "NotOlderThan":
        causes.append(_unsupported("resourceVersionMatch", f'"{options.match}"', '"NotOlderThan"'))
    return causes


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Of creates, updates and patches."""

    manager: str
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False


def write_options(query: dict[str, str], user_agent: str, *, of: str, apply: bool = False) -> WriteOptions:
    """Raises `Refusal`. `of` is CreateOptions, UpdateOptions or PatchOptions."""
    dry_run, validation = query.get("dryRun"), query.get("fieldValidation", "")
    manager, force = query.get("fieldManager", ""), query.get("force")
    causes: list[Cause] = []
    if apply and not manager:
        causes.append(Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager"))
    if force is not None and of == "PatchOptions" and not apply:
        causes.append(_forbidden("force", "may not be specified for non-apply patch"))
    if len(manager.encode()) > _LONGEST_MANAGER:
        causes.append(too_long("fieldManager", _LONGEST_MANAGER))
    causes += [
        Cause("FieldValueInvalid", f"Invalid value: {quoted(manager)}: {_unprintable(number, char)}", "fieldManager")
        for number, char in enumerate(manager)
        if not char.isprintable()
    ][:1]
    if dry_run not in (None, "All"):
        causes.append(_unsupported("dryRun", f'["{dry_run}"]', '"All"'))
    if validation not in ("", "Ignore", "Strict", "Warn"):
        causes.append(_unsupported("fieldValidation", f'"{validation}"', '"", "Ignore", "Strict", "Warn"'))
    if causes:
        raise invalid(of, "", causes, group=_META)
    return WriteOptions(
        manager=manager or user_agent.partition("/")[0] or "unknown",
        dry_run=dry_run == "All",
        validation=validation or "Warn",
        force=boolean(force) or False,
    )


class _Preconditions(msgspec.Struct):
    uid: str | None = None
    resource_version: str | None = msgspec.field(default=None, name="resourceVersion")


class DeleteOptions(msgspec.Struct):
    """As a DELETE's body says them, or its query."""

    kind: str = ""
    grace_period_s: int | None = msgspec.field(default=None, name="gracePeriodSeconds")
    propagation: str | None = msgspec.field(default=None, name="propagationPolicy")
    orphan_dependents: bool | None = msgspec.field(default=None, name="orphanDependents")
    preconditions: _Preconditions | None = None
    dry_run: list[str] = msgspec.field(default_factory=list, name="dryRun")


def delete_options(request: Request, query: dict[str, str]) -> DeleteOptions:
    """Raises `Refusal`."""
    try:
        if request.body:
            if media_type(request) not in (JSON, ""):
                raise unsupported_media_type(f"the simulated API server does not read {request.content_type}")
            options = msgspec.convert(read_json(request.body), DeleteOptions)
        else:
            options = msgspec.convert(_delete_query(query), DeleteOptions)
    except msgspec.MsgspecError as error:
        raise bad_request(f"the options of a deletion cannot be read: {error}") from None
    if options.kind not in ("", "DeleteOptions"):
        raise bad_request(f'no kind "{options.kind}" is registered for the options of a deletion')
    causes: list[Cause] = []
    if options.propagation is not None and options.orphan_dependents is not None:
        text = f'Invalid value: "{options.propagation}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(Cause("FieldValueInvalid", text, "propagationPolicy"))
    elif options.propagation not in (None, "Foreground", "Background", "Orphan"):
        known = '"Foreground", "Background", "Orphan", "nil"'
        causes.append(_unsupported("propagationPolicy", f'"{options.propagation}"', known))
    if options.dry_run not in ([], ["All"]):
        causes.append(_unsupported("dryRun", msgspec.json.encode(options.dry_run).decode(), '"All"'))
    if causes:
        raise invalid("DeleteOptions", "", causes, group=_META)
    return options


def _unprintable(number: int, char: str) -> str:
    return f"invalid character U+{ord(char):04X} (at position {number})"


def _delete_query(query: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "gracePeriodSeconds" in query:
        found["gracePeriodSeconds"] = _integer(query["gracePeriodSeconds"])
    if "propagationPolicy" in query:
        found["propagationPolicy"] = query["propagationPolicy"]
    if "orphanDependents" in query:
        found["orphanDependents"] = boolean(query["orphanDependents"])
    if "dryRun" in query:
        found["dryRun"] = [query["dryRun"]]
    return found


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if not -(2**63) <= int(text) < 2**63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def boolean(text: str | None) -> bool | None:
    """As the real server reads one: anything but a no is a yes."""
    return None if text is None else text.lower() not in ("false", "0")


def _forbidden(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def _unsupported(field: str, value: str, known: str) -> Cause:
    return Cause("FieldValueNotSupported", f"Unsupported value: {value}: supported values: {known}", field)
