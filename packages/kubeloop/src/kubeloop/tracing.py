"""Spans: one a reconcile, and within it whatever asks for one with `span`, such as the client for its requests.

OpenTelemetry is optional. Without a tracer a span costs a context variable's look-up; the adapter imports
opentelemetry-api only when it is made. The tracer in force is carried by the context, so two runtimes in one process
may trace apart, and nobody passes a tracer through.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import TracerProvider

Attribute = str | bool | int | float


class Span(Protocol):
    """One operation. An exception that leaves it marks it as failed."""

    def set(self, name: str, value: Attribute) -> None:
        """Sets an attribute."""
        ...

    def failed(self, error: BaseException) -> None:
        """Marks the span as failed, for an error that does not leave it."""
        ...


class Tracer(Protocol):
    """What makes spans."""

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[Span]:
        """A span of that name around the block, a child of the context's."""
        ...


class _NoSpan:
    """All spans that nobody looks at: one object, without state."""

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def set(self, name: str, value: Attribute) -> None:
        return None

    def failed(self, error: BaseException) -> None:
        return None


NO_SPAN = _NoSpan()


tracer: ContextVar[Tracer | None] = ContextVar("kubeloop_tracer", default=None)
"""In force here: set it in the task that starts the others, which inherit it."""


def span(name: str, **attributes: Attribute) -> AbstractContextManager[Span]:
    """A span by the context's tracer. Without one: well under a microsecond."""
    current = tracer.get()
    return NO_SPAN if current is None else current.span(name, **attributes)


class OpenTelemetryTracer:
    """Spans of opentelemetry-api, by `provider` or the process's. Raises ImportError where it is not installed
    (`pip install kubeloop[tracing]`).
    """

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        from opentelemetry import trace

        self._tracer = trace.get_tracer("kubeloop", tracer_provider=provider)
        self._error = trace.StatusCode.ERROR

    @contextmanager
    def span(self, name: str, **attributes: Attribute) -> Iterator[Span]:
        """See `Tracer.span`."""
        with self._tracer.start_as_current_span(name, attributes=attributes) as made:
            yield _OpenTelemetrySpan(made, self)

    def fail(self, made: "OtelSpan", error: BaseException) -> None:
        """Marks a span as start_as_current_span does it for an exception that leaves it."""
        made.record_exception(error)
        made.set_status(self._error, f"{type(error).__name__}: {error}")


class _OpenTelemetrySpan:
    def __init__(self, span: "OtelSpan", tracer: OpenTelemetryTracer) -> None:
        self._span = span
        self._tracer = tracer

    def set(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)

    def failed(self, error: BaseException) -> None:
        self._tracer.fail(self._span, error)
