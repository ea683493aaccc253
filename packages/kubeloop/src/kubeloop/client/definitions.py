"""Custom resource definitions, applied: for programs that bring their own kinds along.

Server-side apply with force: our types say what the definition is. Applying what is there already is no change to the
server (no new version, no event), so every start may do it. A change that would break objects or clients of a version
that is served is refused before anything is written. Nothing is ever deleted, and objects are never converted.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from kubeloop.client import errors
from kubeloop.client.client import ApplyPatch, Client
from kubeloop.model.base import Condition, KubeObject, KubeStruct, Resource
from kubeloop.model.compatibility import breaking_definition_changes
from kubeloop.model.conditions import find_condition, is_true
from kubeloop.model.crd import definitions_of

_LOOK_EVERY_S = 0.1


class DefinitionStatus(KubeStruct, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()
    stored_versions: tuple[str, ...] = ()


class CustomResourceDefinition(KubeObject, frozen=True, kw_only=True):
    """A definition as the server has it; its spec untyped, as it holds schemas."""

    resource: ClassVar[Resource] = Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
    )

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: DefinitionStatus = DefinitionStatus()


class DefinitionRefused(Exception):
    """A definition cannot become what our types say. `problems` are sentences, each with a path."""

    def __init__(self, name: str, problems: tuple[str, ...]) -> None:
        super().__init__(f"{name}: " + "; ".join(problems))
        self.name = name
        self.problems = problems


async def ensure_definitions(
    client: Client, kinds: Iterable[type[KubeObject]], *, allow_breaking: bool = False, timeout_s: float = 60.0
) -> None:
    """Makes the server serve `kinds`, and returns when it does: established, names accepted, and a list answered.

    Raises `DefinitionRefused`, before anything is written, when a change would break a served version
    (`allow_breaking` overrides that: for kinds without objects that matter), and afterwards when the names belong to
    another definition. Raises `Unavailable` when they are not served within `timeout_s`, and other `ApiError`s.
    """
    kinds = tuple(kinds)
    definitions = definitions_of(kinds)
    if not allow_breaking:
        for definition in definitions:
            await _refuse_breaking(client, definition)
    for definition in definitions:
        await client.patch(CustomResourceDefinition, _name(definition), ApplyPatch(definition, force=True))
    missing = "the definitions"
    try:
        async with asyncio.timeout(timeout_s):
            for definition in definitions:
                missing = _name(definition)
                await _established(client, missing)
            for kind in kinds:
                missing = f"{kind.resource.plural}.{kind.resource.group}/{kind.resource.version}"
                await _served(client, kind)
    except TimeoutError as error:
        raise errors.Unavailable(f"{missing}: not served within {timeout_s} s") from error


def _name(definition: dict[str, Any]) -> str:
    return str(definition["metadata"]["name"])


async def _refuse_breaking(client: Client, definition: dict[str, Any]) -> None:
    try:
        present = await client.get(CustomResourceDefinition, _name(definition))
    except errors.NotFound:
        return
    old = {"spec": present.spec, "status": msgspec.to_builtins(present.status)}
    problems = breaking_definition_changes(old, definition)
    if problems:
        raise DefinitionRefused(_name(definition), problems)


async def _established(client: Client, name: str) -> None:
    while True:
        conditions = (await client.get(CustomResourceDefinition, name)).status.conditions
        accepted = find_condition(conditions, "NamesAccepted")
        if accepted is not None and accepted.status == "False":
            raise DefinitionRefused(name, (accepted.message or accepted.reason,))
        if accepted is not None and is_true(conditions, "Established"):
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _served(client: Client, kind: type[KubeObject]) -> None:
    """Established comes a moment before the server that we reach answers for the kind."""
    if not getattr(kind, "served", True):
        return
    while True:
        try:
            await client.list(kind, limit=1)
        except errors.NotFound:
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            return
