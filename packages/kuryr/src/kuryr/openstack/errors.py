"""Errors of OpenStack, typed and few, each with the request id to look for in the service's log."""

from typing import ClassVar

_AWAY = (0, 401, 413, 429, 502, 503, 504)
"""No answer, or not one of the service about what was asked: of the token, of a limit of requests, of a gateway."""


class OpenStackError(Exception):
    """OpenStack refused or failed a request. `status` is the HTTP status, 0 without an answer."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, status: int = 0, reason: str = "", request_id: str = "") -> None:
        super().__init__(f"{message} ({request_id})" if request_id else message)
        self.status = status
        self.reason = reason
        self.request_id = request_id

    @property
    def is_of_one_thing(self) -> bool:
        """The service works, and refuses or fails at what this request was about: others may go well."""
        return self.status not in _AWAY


class Rejected(OpenStackError):
    """400 and other 4xx: the request itself is wrong."""


class NotFound(OpenStackError):
    """404."""


class Conflict(OpenStackError):
    """409 or 412; `reason` is Neutron's type, such as MacAddressInUse or RevisionNumberConstraintFailed."""

    retryable = True


class QuotaExceeded(OpenStackError):
    """409 OverQuota: the project may not have more of it."""

    retryable = True


class NoAddress(OpenStackError):
    """409 IpAddressGenerationFailure: the subnet is full."""

    retryable = True


class BindingFailed(OpenStackError):
    """The port was made and could not be bound on its host."""

    retryable = True


class Unauthorised(OpenStackError):
    """401 after one renewal of the token, or 403."""


class Throttled(OpenStackError):
    """429, or 413 of old gateways; come back after `retry_after_s`."""

    retryable = True

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", request_id: str = "", retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message, status=status, reason=reason, request_id=request_id)
        self.retry_after_s = retry_after_s


class Unavailable(OpenStackError):
    """No answer, or a 5xx. `sent` is False only when it is certain that the request had no effect."""

    retryable = True

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", request_id: str = "", sent: bool = True
    ) -> None:
        super().__init__(message, status=status, reason=reason, request_id=request_id)
        self.sent = sent


class CloudConfigError(Exception):
    """clouds.yaml is missing or wrong. The message says what to do."""
