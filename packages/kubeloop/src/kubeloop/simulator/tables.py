"""Answers in other forms than the object's own: Tables, with the columns that people look at, and metadata alone.

Pure: bodies in, bodies out. https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from kubeloop.simulator.accept import Form
from kubeloop.simulator.cells import custom_cell
from kubeloop.simulator.columns import AGE, BY_AGE, COLUMNS, NAME, Column
from kubeloop.simulator.jsonpath import BadPath, JsonPath
from kubeloop.simulator.refusals import Body, Refusal, bad_request

_LIST_META = ("resourceVersion", "continue", "remainingItemCount", "selfLink")


def columns_of(resource: str, printer_columns: Sequence[Body] | None = None) -> tuple[Column, ...]:
    """Those of a built-in kind, or those that a CRD's version names; name and age where there are none."""
    if printer_columns:
        try:
            return (NAME, *map(_custom_column, printer_columns))
        except BadPath:
            return (NAME,)  # as kube-apiserver does it, which logs it besides
    return tuple(COLUMNS.get(resource, BY_AGE)) if printer_columns is None else (NAME, AGE)


def _custom_column(definition: Body) -> Column:
    path, kind = JsonPath(definition["jsonPath"]), definition["type"]
    description = definition.get("description") or (
        f"Custom resource definition column (in JSONPath format): {definition['jsonPath']}"
    )
    return Column(
        definition["name"],
        lambda body, now: custom_cell(body, path, kind, now),
        kind,
        wide=bool(definition.get("priority")),
        format=definition.get("format", ""),
        description=description,
    )


class Shown:
    """The objects of one answer or one watch in the form that was asked for. `include` is the query's includeObject."""

    def __init__(self, form: Form, columns: Iterable[Column], *, include: str = "") -> None:
        """Raises `Refusal` for an unknown `include`."""
        if form.kind == "Table" and include not in ("", "Metadata", "Object", "None"):
            raise bad_request(
                f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": must be '
                "'Metadata', 'Object', 'None', or empty"
            )
        self._form = form
        self._columns = tuple(columns)
        self._include = include or "Metadata"
        self._told_columns = False

    def answer(self, body: Body, now: datetime) -> Body:
        """An object or a list; what is a Status stays one. Raises `Refusal` (406)."""
        if body.get("kind") == "Status" or not self._form.kind:
            return body
        items = body.get("items") if str(body.get("kind", "")).endswith("List") else None
        if self._form.kind == "Table":
            return self._table(body, [body] if items is None else _whole(items, body), now)
        wants_list = self._form.kind.endswith("List")
        if wants_list != (items is not None):
            is_list = "is a list" if items is not None else "is not a list"
            text = f"you requested {self._form.kind}, but the requested object {is_list} ({body.get('kind')})"
            raise Refusal(406, "NotAcceptable", text)
        if items is None:
            return self._metadata(body)
        return {**self._head(), "metadata": _list_meta(body), "items": [self._metadata(item) for item in items]}

    def event(self, event: Body, now: datetime) -> Body:
        """One event of a watch; the columns are told with the first table alone."""
        body = event["object"]
        if event["type"] == "ERROR" or not self._form.kind:
            return event
        if self._form.kind != "Table":
            return {"type": event["type"], "object": self._metadata(body)}
        return {"type": event["type"], "object": self._table(body, [body], now)}

    def _table(self, body: Body, items: list[Body], now: datetime) -> Body:
        definitions = None if self._told_columns else [column.definition() for column in self._columns]
        self._told_columns = True
        return {
            **self._head(),
            "metadata": _list_meta(body),
            "columnDefinitions": definitions,
            "rows": [self._row(item, now) for item in items],
        }

    def _row(self, item: Body, now: datetime) -> Body:
        included: dict[str, Any] = {"Object": item, "None": None}
        shown = included[self._include] if self._include in included else self._metadata(item)
        return {"cells": [column.cell(item, now) for column in self._columns], "object": shown}

    def _head(self) -> Body:
        return {"kind": self._form.kind, "apiVersion": self._form.api_version}

    def _metadata(self, body: Body) -> Body:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": self._form.api_version,
            "metadata": body["metadata"],
        }


def _whole(items: list[Body], listed: Body) -> list[Body]:
    """Items of a list of core kinds do not say what they are; on their own they have to."""
    head = {"kind": listed["kind"].removesuffix("List"), "apiVersion": listed["apiVersion"]}
    return [{**head, **item} for item in items]


def _list_meta(body: Body) -> Body:
    """Of a list; also what of an object's metadata a list has."""
    meta = body.get("metadata") or {}
    return {name: meta[name] for name in _LIST_META if name in meta}
