"""What is shown of Events, of either group."""

from collections.abc import Mapping

from kubeloop.simulator.cells import age
from kubeloop.simulator.columns.column import NAME, Column, at, made, path_column
from kubeloop.simulator.refusals import Body


def _about(event: Body) -> Body:
    return event.get("involvedObject") or event.get("regarding") or {}


def _event_object(event: Body) -> str:
    about = _about(event)
    kind, name = about.get("kind", "").lower(), about.get("name", "")
    return f"{kind}/{name}" if name else kind


def _event_source(event: Body) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    reporter = event.get("reportingComponent") or event.get("reportingController")
    component, instance = (
        source.get("component") or reporter or "",
        source.get("host") or event.get("reportingInstance"),
    )
    return f"{component}, {instance}" if instance else component


def _event_first(event: Body) -> str | None:
    return event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")


def _event_last(event: Body) -> str | None:
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or _event_first(event)
    observed: str | None = at(event, "series", "lastObservedTime", default=last)
    return observed


def _event_count(event: Body) -> int:
    return int(at(event, "series", "count", default=event.get("count") or event.get("deprecatedCount") or 1))


_EVENT = (
    Column("Last Seen", lambda event, now: age(_event_last(event), now)),
    path_column("Type", "type"),
    path_column("Reason", "reason"),
    made("Object", _event_object),
    made("Subobject", lambda event: _about(event).get("fieldPath", ""), wide=True),
    made("Source", _event_source, wide=True),
    made("Message", lambda event: (event.get("message") or event.get("note") or "").strip()),
    Column("First Seen", lambda event, now: age(_event_first(event), now), wide=True),
    made("Count", _event_count, wide=True),
    Column("Name", NAME.cell, wide=True, format="name"),
)  # fmt: skip

COLUMNS: Mapping[str, tuple[Column, ...]] = {"events": _EVENT, "events.events.k8s.io": _EVENT}
