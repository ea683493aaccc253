"""CustomResourceDefinitions: what becomes of one that is written, and the kinds that are served for it."""

from datetime import UTC, datetime
from typing import Any

from kubeloop.model.times import time_text
from kubeloop.simulator.kinds import Kind, Kinds, ScalePaths
from kubeloop.simulator.options import DeleteOptions
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.registry import Registry
from kubeloop.simulator.storage import Change, Storage
from kubeloop.simulator.strategies.cluster import CLEANUP
from kubeloop.simulator.structural import StructuralSchema, structural_schema
from kubeloop.simulator.topology import of_object

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class Definitions:
    """Serves the kinds of the definitions that are there, and does what the real server's controllers do with them."""

    def __init__(self, storage: Storage, registry: Registry, kinds: Kinds) -> None:
        self._storage = storage
        self._registry = registry
        self._ending: dict[str, None] = {}  # definitions whose objects are being deleted
        self._kinds = kinds
        for stored in storage.objects(DEFINITIONS).values():
            self._serve(stored.body)

    def changed(self, change: Change) -> None:
        """Something was written."""
        if change.resource != DEFINITIONS:
            if change.type == "DELETED" and change.resource in self._ending:
                self._end(change.resource)
            return
        if change.type == "DELETED":
            self._ending.pop(change.key, None)
            self._kinds.replace(change.key, ())
            return
        self._serve(change.now.body)
        if change.before is not None and change.before.body["spec"] != change.now.body["spec"]:
            schema = _stored_schema(change.now.body)
            self._storage.reread(change.key, lambda body: schema.defaulted(schema.pruned(body)))
        latest = self._storage.get(DEFINITIONS, change.key)
        if latest is not change.now:
            return  # another server has done what there was to do
        if "deletionTimestamp" in latest.body["metadata"]:
            self._end(change.key)
        else:
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

    def _end(self, name: str) -> None:
        """Deletes its objects, and lets it go when they are gone."""
        definition = self._storage.get(DEFINITIONS, name)
        if definition is None or CLEANUP not in definition.body["metadata"].get("finalizers", ()):
            return
        if name not in self._ending:
            self._ending[name] = None
            for kind in [kind for kind in self._kinds if kind.resource == name][:1]:
                self._delete_all(kind)
        if self._storage.objects(name):
            return
        current = self._storage.get(DEFINITIONS, name)
        if current is None:
            return
        meta = current.body["metadata"]
        body = {
            **current.body,
            "metadata": {**meta, "finalizers": [one for one in meta["finalizers"] if one != CLEANUP]},
        }
        if body["metadata"]["finalizers"]:
            self._storage.put(DEFINITIONS, name, body)
        else:
            self._storage.delete(DEFINITIONS, name)

    def _delete_all(self, kind: Kind) -> None:
        for stored in tuple(self._storage.objects(kind.resource).values()):
            meta = stored.body["metadata"]
            if "deletionTimestamp" not in meta:
                self._registry.delete(kind, meta.get("namespace", ""), meta["name"], DeleteOptions())

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
    [stored] = [version for version in spec["versions"] if version["storage"]]
    ending = "deletionTimestamp" in definition["metadata"]
    return [_kind(spec, version, stored, ending=ending) for version in spec["versions"] if version["served"]]


def _stored_schema(definition: Body) -> StructuralSchema:
    [schema] = [version["schema"] for version in definition["spec"]["versions"] if version["storage"]]
    return structural_schema(schema["openAPIV3Schema"])


def _kind(spec: Body, version: Body, stored: Body, *, ending: bool) -> Kind:
    names = spec["names"]
    schema = structural_schema(version["schema"]["openAPIV3Schema"])
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
        schema=schema,
        scale=_scale_paths(version),
        topology=of_object(schema.topology),
        custom=True,
        ending=ending,
        warning=_warning(spec, version),
        stored_version=stored["name"],
        stored_schema=None if version is stored else structural_schema(stored["schema"]["openAPIV3Schema"]),
    )


def _scale_paths(version: Body) -> ScalePaths | None:
    scale = version.get("subresources", {}).get("scale")
    if scale is None:
        return None
    names = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    return ScalePaths(*(tuple(filter(None, scale.get(name, "").split("."))) for name in names))


def _warning(spec: Body, version: Body) -> str:
    if not version.get("deprecated"):
        return ""
    default = f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
    found: Any = version.get("deprecationWarning", default)
    return str(found)
