"""Namespaces, nodes, and definitions of custom resources."""

from datetime import UTC, datetime

from kubeloop.model.times import time_text
from kubeloop.simulator.refusals import Body, Cause, forbidden
from kubeloop.simulator.storage import Storage
from kubeloop.simulator.strategies.base import Strategy
from kubeloop.simulator.strategies.definitions import definition_problems

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_KEPT_NAMESPACES = ("default", "kube-system", "kube-public")


class Namespaces(Strategy):
    """They end in their own way: `spec.finalizers` holds them until their contents are gone."""

    def defaulted(self, body: Body) -> Body:
        meta = body["metadata"]
        labels = {**meta.get("labels", {}), "kubernetes.io/metadata.name": meta.get("name", "")}
        return {**body, "metadata": {**meta, "labels": labels}}

    def prepare_create(self, body: Body, storage: Storage) -> Body:
        return {**body, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        if subresource == "finalize":
            return {**old, "metadata": body["metadata"], "spec": body.get("spec") or {}}
        return {**body, "spec": old["spec"]}

    def admit_delete(self, body: Body) -> None:
        name = body["metadata"]["name"]
        if name in _KEPT_NAMESPACES:
            raise forbidden("namespaces", name, "this namespace may not be deleted")

    def stays(self, body: Body) -> bool:
        return bool(body.get("spec", {}).get("finalizers"))

    def prepare_delete(self, body: Body) -> Body:
        meta = {name: value for name, value in body["metadata"].items() if name != "deletionGracePeriodSeconds"}
        return {**body, "metadata": meta, "status": {**body["status"], "phase": "Terminating"}}


class Nodes(Strategy):
    def prepare_create(self, body: Body, storage: Storage) -> Body:
        """A new node is not ready, until somebody says that it is."""
        body = super().prepare_create(body, storage)
        taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        spec = body.get("spec", {})
        taints = spec.get("taints", [])
        if not any(one.get("key") == taint["key"] for one in taints):
            taints = [*taints, taint]
        return {**body, "spec": {**spec, "taints": taints}}


class Definitions(Strategy):
    def defaulted(self, body: Body) -> Body:
        spec = body.get("spec", {})
        names = spec.get("names", {})
        kind = names.get("kind", "")
        more = {"singular": names.get("singular") or kind.lower(), "listKind": names.get("listKind") or f"{kind}List"}
        return {**body, "spec": {**spec, "names": {**names, **more}}}

    def prepare_create(self, body: Body, storage: Storage) -> Body:
        stored = [version.get("name") for version in body["spec"].get("versions", ()) if version.get("storage")]
        status = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}
        return {**body, "status": status}

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        """A version that stores now is one in which objects may be stored for ever, until somebody says otherwise."""
        if subresource:
            return body
        known = old["status"]["storedVersions"]
        new = [one["name"] for one in body["spec"]["versions"] if one.get("storage") and one["name"] not in known]
        return {**body, "status": {**old["status"], "storedVersions": [*known, *new]}} if new else body

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        return definition_problems(body)

    def prepare_delete(self, body: Body) -> Body:
        """Its objects go first; see `definitions`."""
        meta, status = body["metadata"], body["status"]
        conditions = status.get("conditions") or []
        if any(one["type"] == "Terminating" for one in conditions):
            return body
        terminating = {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": time_text(datetime.now(UTC)),
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        }
        meta = {name: value for name, value in meta.items() if name != "deletionGracePeriodSeconds"}
        return {
            **body,
            "metadata": {**meta, "finalizers": [*meta.get("finalizers", ()), CLEANUP]},
            "status": {**status, "conditions": [*conditions, terminating]},
        }

    def stays(self, body: Body) -> bool:
        return "deletionTimestamp" not in body["metadata"]
