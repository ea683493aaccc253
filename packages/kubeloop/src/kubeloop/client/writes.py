"""What was written: the record by which a controller waits for its own writes before it reads its stores again.

The client notes each write that succeeded in the list that the current context carries; who does not ask for the record
(no list set) pays nothing. A context variable, because then no reconcile can forget to pass it on.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from kubeloop.model.base import KubeObject, ObjectKey


@dataclass(frozen=True, slots=True)
class Write:
    """One write that the API server has accepted.

    `version` is the resourceVersion of the answer; empty where the object went with the write and the answer does not
    tell the version of its going. `deleted`: the object is gone or going, by a delete or with its last finalizer.
    `labels` are the answer's, None where it shows none: nobody waits for what their selector leaves out.
    """

    kind: type[KubeObject]
    key: ObjectKey
    uid: str
    version: str
    deleted: bool = False
    labels: Mapping[str, str] | None = field(default=None, compare=False)


noted: ContextVar[list[Write] | None] = ContextVar("kubeloop_writes", default=None)


def note(write: Write) -> None:
    """Adds a write to the context's record, if it keeps one."""
    record = noted.get()
    if record is not None:
        record.append(write)
