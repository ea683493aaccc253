"""Which part of a collection an informer follows, and what of that can be told without asking the server.

The API server evaluates selectors. `Selection.holds` evaluates the simple part of them again, for one purpose: not to
wait for the event of an object that the watch will never show. What it cannot tell it says so (None). Grammar:
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kubeloop.model.base import ObjectKey

_PART = re.compile(r"(?:[^,(]|\([^)]*\))+")
_EQUALITY = re.compile(r"([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)")
_SET = re.compile(r"([\w./-]+)\s+(in|notin)\s*\(([^)]*)\)")
_EXISTENCE = re.compile(r"(!?)\s*([\w./-]+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a collection; empty is all of it."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""

    def holds(self, key: ObjectKey, labels: Mapping[str, str] | None) -> bool | None:
        """Whether an object is in the selection; None where its key and labels (None: not known) do not tell."""
        if self.namespace and key.namespace != self.namespace:
            return False
        verdicts = [*self._by_labels(labels), *self._by_fields(key)]
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def one(self, key: ObjectKey) -> "Selection":
        """The selection narrowed to the object of one key, which is in its namespace."""
        name = f"metadata.name={key.name}"
        return Selection(
            key.namespace, self.label_selector, f"{self.field_selector},{name}" if self.field_selector else name
        )

    def _by_labels(self, labels: Mapping[str, str] | None) -> Iterator[bool | None]:
        for part in _PART.findall(self.label_selector):
            yield None if labels is None else _labels_match(part.strip(), labels)

    def _by_fields(self, key: ObjectKey) -> Iterator[bool | None]:
        known = {"metadata.name": key.name, "metadata.namespace": key.namespace}
        for part in _PART.findall(self.field_selector):
            match = _EQUALITY.fullmatch(part.strip())
            if match is None or match[1] not in known:
                yield None
            else:
                yield (known[match[1]] == match[3]) is (match[2] != "!=")


def _labels_match(part: str, labels: Mapping[str, str]) -> bool | None:
    """One requirement of a label selector; None for one that is not understood."""
    if match := _EQUALITY.fullmatch(part):
        # "!=" and "notin" also select what has no such label
        return (labels.get(match[1]) == match[3]) is (match[2] != "!=")
    if match := _SET.fullmatch(part):
        values = {value.strip() for value in match[3].split(",")}
        return (labels.get(match[1]) in values) is (match[2] == "in")
    if match := _EXISTENCE.fullmatch(part):
        return (match[2] in labels) is not bool(match[1])
    return None
