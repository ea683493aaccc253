"""A structural schema: what it makes of a body, and what it finds wrong with one.

Its parts are in `schemas/`; the differential test, tests/simulator/test_schemas_differential.py, holds them to the real
server. Whatever cannot be evaluated is refused when the schema is read, with 501 and its name.
"""

from functools import lru_cache
from typing import Any

import msgspec

from kubeloop.simulator.causes import invalid
from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.schemas import contents, lists
from kubeloop.simulator.schemas.node import ABSENT, read, topology_of
from kubeloop.simulator.schemas.rules import Rules
from kubeloop.simulator.schemas.validation import validated

_BLOCKS_RULES = frozenset(
    ("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


class StructuralSchema:
    """Of one version of a custom resource. No body is changed; what is returned shares with what was given."""

    def __init__(self, schema: Body) -> None:
        """`schema` is an openAPIV3Schema. Raises the refusal of what is not supported."""
        self._root = read(schema)
        self._rules = Rules.of(self._root, root=True)
        self.topology = topology_of(self._root)

    def unknown_fields(self, body: Body) -> list[str]:
        """The paths of what `pruned` takes away: "spec.colour"."""
        unknown: list[str] = []
        contents.pruned(self._root, body, unknown, root=True)
        return sorted(unknown)

    def pruned(self, body: Body) -> Body:
        """Without the fields that the schema does not have."""
        return self._body(contents.pruned(self._root, body, [], root=True))

    def defaulted(self, body: Body, *, keep_nulls: bool = False) -> Body:
        """With defaults; null where it may not be becomes the default, or is dropped (but not from what is applied)."""
        body = body if keep_nulls else contents.without_nulls(self._root, body)
        return self._body(contents.defaulted(self._root, body))

    def without_empties(self, body: Body) -> Body:
        """Without empty lists and free maps, as what the real server reads into its own types loses them."""
        return self._body(contents.without_empties(self._root, body))

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        """All that is wrong, at once. `old` is what an update replaces: values that it leaves alone are not asked."""
        found = validated(self._root, body, ABSENT if old is None else old)
        if self._root.embeds:
            found += lists.embedded_problems(self._root, body)
        if self._root.unordered and (old is None or not lists.duplicates(self._root, old)):
            found += lists.duplicates(self._root, body)
        if self._rules is None:
            return found
        if any(cause.reason in _BLOCKS_RULES for cause in found):
            return [*found, invalid("<nil>", None, _UNCHECKED)]
        return found + self._rules.problems(body, ABSENT if old is None else old, "")

    @staticmethod
    def _body(found: Any) -> Body:
        assert isinstance(found, dict)
        return found


def structural_schema(schema: Body) -> StructuralSchema:
    """One for all who ask for the same schema: to read one costs a millisecond. Raises as `StructuralSchema`."""
    return _read(msgspec.json.encode(schema))


@lru_cache(maxsize=200)
def _read(encoded: bytes) -> StructuralSchema:
    return StructuralSchema(msgspec.json.decode(encoded))
