"""Moments as Kubernetes writes them: RFC 3339 in UTC, `metav1.Time` in whole seconds, `MicroTime` in microseconds.

They are for people and other programs to read; no decision of ours depends on a wall clock.
"""

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """As a `metav1.Time`. Raises `ValueError` for a moment without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone does not name a moment")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time_now() -> str:
    """The wall clock as a `MicroTime`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
