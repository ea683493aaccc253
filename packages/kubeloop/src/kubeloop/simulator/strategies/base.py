"""What a kind may do otherwise than most. Bodies are not changed but made anew."""

import json
from collections.abc import Mapping
from typing import Any

from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.storage import Storage


class Strategy:
    """Nothing is special, but what it is made with.

    `first_status` is the status of a new object; `propagation` what becomes of dependents where a deletion does not
    say: nothing else than Background, but for kinds from before the garbage collector; `counted` the field whose
    changes the generation counts.
    """

    def __init__(
        self,
        *,
        first_status: Mapping[str, Any] | None = None,
        propagation: str | None = None,
        counted: str = "spec",
    ) -> None:
        self._first_status = first_status
        self.propagation = propagation
        self._counted = counted

    def defaulted(self, body: Body) -> Body:
        """With the defaults that depend on other fields: those which whoever wrote the object owns."""
        return body

    def prepare_create(self, body: Body, storage: Storage) -> Body:
        """With what the server adds to a new object in nobody's name; its metadata is complete."""
        return body if self._first_status is None else {**body, "status": dict(self._first_status)}

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        return body

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        """What is wrong with it, beside its metadata and schema."""
        return []

    def generation_grows(self, body: Body, old: Body) -> bool:
        return bool(body.get(self._counted) != old.get(self._counted))

    def admit_delete(self, body: Body) -> None:
        """Raises `Refusal` for what may not be deleted."""

    def grace_s(self, body: Body, asked: int | None) -> int | None:
        """How long an object that is deleted stays; None for a kind to which no grace is given."""
        return None

    def stays(self, body: Body) -> bool:
        """Whether it stays for another reason than finalizers and grace."""
        return False

    def prepare_delete(self, body: Body) -> Body:
        """What is stored of an object that is going."""
        return body

    def may_go(self, body: Body) -> bool:
        """Whether an object that is being deleted is gone with this write."""
        meta = body["metadata"]
        return not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds") and not self.stays(body)


def required(field: str) -> Cause:
    return Cause("FieldValueRequired", "Required value", field)


def invalid(field: str, value: Any, why: str) -> Cause:
    shown = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)


def immutable(field: str, value: Any) -> Cause:
    return invalid(field, value, "field is immutable")


def forbidden(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)
