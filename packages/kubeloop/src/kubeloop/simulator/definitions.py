"""CustomResourceDefinitions: what becomes of one that is written, and the kinds that are served for it."""

from datetime import UTC, datetime
from typing import Any

from kubeloop.model.times import time_text
from kubeloop.simulator.kinds import Kind, Kinds
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.storage import Change, Storage

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class Definitions:
    """Serves the kinds of the definitions that are there, and does what the real server's controllers do with them."""

    def __init__(self, storage: Storage, kinds: Kinds) -> None:
        self._storage = storage
        self._kinds = kinds
        for stored in storage.objects(DEFINITIONS).values():
            self._serve(stored.body)

    def changed(self, change: Change) -> None:
        """A definition was written."""
        if change.type == "DELETED":
            self._kinds.replace(change.key, ())
            return
        self._serve(change.now.body)
        latest = self._storage.get(DEFINITIONS, change.key)
        if latest is change.now:  # else another server has done what there was to do
            self._establish(change.key, latest.body)

    def _serve(self, definition: Body) -> None:
        if is_established(definition):
            self._kinds.replace(definition["metadata"]["name"], kinds_of(definition))

    def _establish(self, name: str, definition: Body) -> None:
        """Accepts its names, in two writes as the real server does."""
        if definition["status"].get("conditions"):
            return
        taken = self._taken(definition)
        if taken:
            accepted = _condition("NamesAccepted", "False", f"{taken[0]}Conflict", f'"{taken[1]}" is already in use')
            established = _condition("Established", "False", "NotAccepted", "not all names are accepted")
            self._write_status(name, definition, conditions=[accepted, established])
            return
        accepted = _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
        established = _condition("Established", "False", "Installing", "the initial names have been accepted")
        names = definition["spec"]["names"]
        definition = self._write_status(name, definition, conditions=[accepted, established], acceptedNames=names)
        established = _condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
        self._write_status(name, definition, conditions=[accepted, established])

    def _write_status(self, name: str, definition: Body, **status: Any) -> Body:
        body = {
            **definition,
            "metadata": {**definition["metadata"]},
            "status": {**definition["status"], **status},
        }
        return self._storage.put(DEFINITIONS, name, body).body

    def _taken(self, definition: Body) -> tuple[str, str] | None:
        """A name of it that another definition of its group has, and of which sort it is."""
        mine = definition["spec"]
        for stored in self._storage.objects(DEFINITIONS).values():
            spec, accepted = stored.body["spec"], stored.body["status"]["acceptedNames"]
            if stored.body["metadata"]["name"] == definition["metadata"]["name"] or spec["group"] != mine["group"]:
                continue
            for sort, key in (
                ("Plural", "plural"),
                ("Singular", "singular"),
                ("Kind", "kind"),
                ("ListKind", "listKind"),
            ):
                if accepted.get(key) == mine["names"][key]:
                    return sort, mine["names"][key]
        return None


def _condition(of: str, status: str, reason: str, message: str) -> Body:
    now = time_text(datetime.now(UTC))
    return {"type": of, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}


def is_established(definition: Body) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def kinds_of(definition: Body) -> list[Kind]:
    """The versions that are served."""
    spec = definition["spec"]
    [stored] = [version["name"] for version in spec["versions"] if version["storage"]]
    return [_kind(spec, version, stored) for version in spec["versions"] if version["served"]]


def _kind(spec: Body, version: Body, stored: str) -> Kind:
    names = spec["names"]
    selectable = [one["jsonPath"].removeprefix(".") for one in version.get("selectableFields", ())]
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        singular=names.get("singular", ""),
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        namespaced=spec["scope"] == "Namespaced",
        subresources=frozenset(version.get("subresources", {})) & {"status", "scale"},
        selectable={path: tuple(path.split(".")) for path in selectable},
        generation=True,
        unconditional=False,
        custom=True,
        warning=_warning(spec, version),
        stored_version=stored,
    )


def _warning(spec: Body, version: Body) -> str:
    if not version.get("deprecated"):
        return ""
    default = f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
    found: Any = version.get("deprecationWarning", default)
    return str(found)
