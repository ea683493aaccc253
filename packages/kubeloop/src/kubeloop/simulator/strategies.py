"""What is special about single kinds, where the registry is generic. The real server calls these strategies."""

from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body, Cause, Refusal


class Strategy:
    """Nothing is special."""

    def prepare_create(self, body: Body) -> Body:
        """What is stored of a new object, before defaults and validation."""
        return body

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        return body

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        """What is wrong with it, beside its metadata and schema."""
        return []

    def generation_grows(self, body: Body, old: Body) -> bool:
        return body.get("spec") != old.get("spec")

    def admit_delete(self, body: Body) -> None:
        """Raises `Refusal` for what may not be deleted."""

    def grace_s(self, body: Body, asked: int | None) -> int:
        """How long an object that is deleted stays."""
        return 0

    def stays(self, body: Body) -> bool:
        """Whether it stays for another reason than finalizers and grace."""
        return False

    def prepare_delete(self, body: Body) -> Body:
        return body

    def may_go(self, body: Body) -> bool:
        """Whether an object that is being deleted is gone with this write."""
        meta = body["metadata"]
        return not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds") and not self.stays(body)


class _Custom(Strategy):
    def generation_grows(self, body: Body, old: Body) -> bool:
        if body.get("spec") != old.get("spec"):
            return True
        apart = ("metadata", "status", "spec", "apiVersion")
        return {k: v for k, v in body.items() if k not in apart} != {k: v for k, v in old.items() if k not in apart}


class _Namespaces(Strategy):
    def prepare_create(self, body: Body) -> Body:
        meta = body["metadata"]
        meta["labels"] = {**meta.get("labels", {}), "kubernetes.io/metadata.name": meta.get("name", "")}
        return {**body, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        if subresource != "finalize":
            return {**body, "spec": old["spec"]}
        return {**old, "metadata": body["metadata"], "spec": body.get("spec") or {}}

    def admit_delete(self, body: Body) -> None:
        name = body["metadata"]["name"]
        if name in ("default", "kube-system", "kube-public"):
            text = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise Refusal(403, "Forbidden", text, details={"name": name, "kind": "namespaces"})

    def stays(self, body: Body) -> bool:
        return bool(body.get("spec", {}).get("finalizers"))

    def prepare_delete(self, body: Body) -> Body:
        meta = {**body["metadata"]}
        meta.pop("deletionGracePeriodSeconds", None)
        return {**body, "metadata": meta, "status": {**body["status"], "phase": "Terminating"}}


class _Pods(Strategy):
    def prepare_create(self, body: Body) -> Body:
        spec = body.get("spec") or {}
        spec.setdefault("restartPolicy", "Always")
        spec.setdefault("terminationGracePeriodSeconds", 30)
        return {**body, "spec": spec, "status": {"phase": "Pending", "qosClass": "BestEffort"}}

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        if old is None and not body["spec"].get("containers"):
            return [Cause("FieldValueRequired", "Required value", "spec.containers")]
        return []

    def grace_s(self, body: Body, asked: int | None) -> int:
        spec, phase = body["spec"], body.get("status", {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        grace_s: int = spec["terminationGracePeriodSeconds"] if asked is None else asked
        return max(grace_s, 1) if asked is None or asked < 0 else grace_s


class _Definitions(Strategy):
    def prepare_create(self, body: Body) -> Body:
        spec = {"conversion": {"strategy": "None"}, **(body.get("spec") or {})}
        names = spec.get("names") or {}
        kind = names.get("kind", "")
        spec["names"] = {**names, "singular": names.get("singular") or kind.lower(), "listKind": f"{kind}List"}
        stored = [version["name"] for version in spec.get("versions") or () if version.get("storage")]
        status = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}
        return {**body, "spec": spec, "status": status}


_GENERIC = Strategy()
_CUSTOM = _Custom()
_SPECIAL: dict[str, Strategy] = {
    "namespaces": _Namespaces(),
    "pods": _Pods(),
    "customresourcedefinitions.apiextensions.k8s.io": _Definitions(),
}


def strategy_of(kind: Kind) -> Strategy:
    return _CUSTOM if kind.custom else _SPECIAL.get(kind.resource, _GENERIC)
