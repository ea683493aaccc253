"""Errors of the Kubernetes API, typed and few.

Third-party exceptions are mapped once, in the transport, with their cause. What a caller needs to decide is on the
error: `retryable` (the same call may succeed later) and, for `Unavailable`, `sent`: whether the request may have taken
effect although no answer came.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause of a refusal: a field that is wrong, or another manager's field that an apply would change."""

    reason: str = ""
    field: str = ""
    message: str = ""


class ApiError(Exception):
    """The API server refused or failed a request.

    `status` is the HTTP status (0 without an answer), `reason` the Status object's reason, `causes` its details.
    """

    retryable: ClassVar[bool] = False
    causes: tuple[Cause, ...] = ()

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class BadRequest(ApiError):
    """400, 405, 406, 413, 415: the request itself is wrong."""


class Unauthorized(ApiError):
    """401: the credentials are not accepted (after one renewal)."""

    retryable = True


class Forbidden(ApiError):
    """403: not allowed; also a create in a terminating namespace (see `namespace_terminating`)."""

    @property
    def namespace_terminating(self) -> bool:
        return "being terminated" in self.message


class NotFound(ApiError):
    """404: no such object, or no such resource type."""


class Conflict(ApiError):
    """409 Conflict: a precondition (UID, resourceVersion) does not hold any more."""

    retryable = True


class AlreadyExists(ApiError):
    """409 AlreadyExists: an object of that name is there, possibly still being deleted."""


class Gone(ApiError):
    """410: the resource version or continue token is too old. Only a new list helps."""


class Invalid(ApiError):
    """422: validation failed, or a JSON patch's test or path did not hold."""

    @property
    def precondition_failed(self) -> bool:
        """It was a JSON patch whose test did not hold, or a patch that names another UID than the object's."""
        return any("metadata.uid" in cause.field for cause in self.causes) or not self.causes


class Throttled(ApiError):
    """429: come back after `retry_after_s`."""

    retryable = True


class Unavailable(ApiError):
    """No answer, or a 5xx. `sent` is False only when it is certain that the request had no effect."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after_s: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message, status=status, reason=reason, retry_after_s=retry_after_s)
        self.sent = sent


class NotLeader(ApiError):
    """Refused by our own fence before anything was sent: this process does not lead (any more)."""


class DecodeError(ApiError):
    """The answer, or one object of it, does not decode into the asked type."""


class ConfigError(Exception):
    """A kubeconfig or service account is missing or wrong. The message says what to do."""
