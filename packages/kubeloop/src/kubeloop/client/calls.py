"""One call within its deadline, repeated only where that is safe.

A read is repeated after `Unavailable` and `Throttled`. A write is repeated only where it is certain that the first one
had no effect: nothing was sent, or it was refused with 429 and a Retry-After, which is how the server sheds load. A 429
without one is an answer, not load: an eviction that a disruption budget forbids.

A call is a span, with all its attempts. Attributes: https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
"""

import asyncio
import random

from kubeloop import tracing
from kubeloop.client import errors
from kubeloop.client.transport import Request, Response, Transport

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 2.0
_GROWTH = 2.5


async def call(transport: Transport, request: Request, *, timeout_s: float) -> Response:
    """The answer, within `timeout_s` over all attempts; raises the last attempt's `ApiError`.

    It does not wait for what would come after the deadline: a Retry-After beyond it raises at once.
    """
    if tracing.tracer.get() is None:
        return await _attempts(transport, request, timeout_s, tracing.NO_SPAN)
    about = {"http.request.method": request.method, "url.path": request.path}
    with tracing.span(f"HTTP {request.method}", **about) as span:
        try:
            response = await _attempts(transport, request, timeout_s, span)
        except errors.ApiError as error:
            if error.status:
                span.set("http.response.status_code", error.status)
            raise
        span.set("http.response.status_code", response.status)
        return response


async def _attempts(transport: Transport, request: Request, timeout_s: float, span: tracing.Span) -> Response:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    delay_s, again = _FIRST_DELAY_S, 0
    while True:
        try:
            return await transport.request(request, timeout_s=max(deadline - loop.time(), 0.001))
        except (errors.Unavailable, errors.Throttled) as error:
            wait_s = error.retry_after_s or delay_s * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
            if not _repeatable(request, error) or loop.time() + wait_s >= deadline or delay_s > _LONGEST_DELAY_S:
                raise
        await asyncio.sleep(wait_s)
        delay_s *= _GROWTH
        again += 1
        span.set("http.request.resend_count", again)


def _repeatable(request: Request, error: errors.Unavailable | errors.Throttled) -> bool:
    if request.method == "GET":
        return True
    if isinstance(error, errors.Throttled):
        return error.retry_after_s is not None
    return not error.sent
