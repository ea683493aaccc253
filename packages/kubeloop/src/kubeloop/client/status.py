"""The Status object, in which an API server says why it refuses, and the error that stands for it.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from kubeloop.client import errors


class _Cause(msgspec.Struct):
    reason: str | None = None
    message: str | None = None
    field: str | None = None


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None
    retry_after_seconds: int | None = msgspec.field(default=None, name="retryAfterSeconds")


class Status(msgspec.Struct):
    """The body of a refusal: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


def error_from_status(status: Status, *, http_status: int = 0, retry_after_s: float | None = None) -> errors.ApiError:
    """The typed error for a Status object."""
    code = status.code or http_status
    reason = status.reason or ""
    message = status.message or f"HTTP status {code}"
    if retry_after_s is None and status.details and status.details.retry_after_seconds:
        retry_after_s = float(status.details.retry_after_seconds)
    kind = _error_type(code, reason)
    found = kind(message, status=code, reason=reason, retry_after_s=retry_after_s)
    found.causes = tuple(
        errors.Cause(one.reason or "", one.field or "", one.message or "")
        for one in (status.details and status.details.causes) or ()
    )
    return found


def _error_type(code: int, reason: str) -> type[errors.ApiError]:
    if code == 409:
        return errors.AlreadyExists if reason == "AlreadyExists" else errors.Conflict
    if code >= 500:
        return errors.Unavailable
    by_code: dict[int, type[errors.ApiError]] = {
        401: errors.Unauthorized,
        403: errors.Forbidden,
        404: errors.NotFound,
        410: errors.Gone,
        422: errors.Invalid,
        429: errors.Throttled,
    }
    return by_code.get(code, errors.BadRequest)


def refusal(http_status: int, headers: Mapping[str, str], body: bytes) -> errors.ApiError:
    """The typed error for an answer that is not a success, whatever its body is."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        status = Status(message=body[:300].decode(errors="replace").strip() or None)
    after_s = parse_retry_after(headers.get("Retry-After", ""), now_s=time.time())
    return error_from_status(status, http_status=http_status, retry_after_s=after_s)


def parse_retry_after(value: str, *, now_s: float) -> float | None:
    """Seconds from a Retry-After header: a number, or a date (RFC 9110, 10.2.3). None for neither."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - now_s, 0.0)
    except (ValueError, OverflowError):
        return None
