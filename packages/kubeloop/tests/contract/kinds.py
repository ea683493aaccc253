"""The suite's own kinds: one with everything that a schema can say, one that never changes."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from kubeloop.model.base import Condition, KubeObject, KubeStruct, Resource


class GadgetSpec(KubeStruct, frozen=True, kw_only=True):
    """What a gadget should be."""

    owner: Annotated[str, Meta(max_length=20)]
    size: Annotated[int, Meta(ge=0, le=100)] = 10
    colour: Literal["red", "green", "blue"] = "red"
    node: str = ""
    parts: tuple[str, ...] = ()
    prices: dict[str, int] = {}  # noqa: RUF012 - msgspec copies it
    note: str | None = None


class GadgetStatus(KubeStruct, frozen=True, kw_only=True):
    """What a gadget is."""

    ready: bool = False
    count: Annotated[int, Meta(ge=0)] = 0
    conditions: tuple[Condition, ...] = ()


class Gadget(KubeObject, frozen=True, kw_only=True):
    """A gadget."""

    resource: ClassVar[Resource] = Resource("contract.kubeloop.dev", "v1", "gadgets", "Gadget")
    selectable_fields: ClassVar[tuple[str, ...]] = (".spec.node",)

    spec: GadgetSpec
    status: GadgetStatus = GadgetStatus()


class SealSpec(KubeStruct, frozen=True, kw_only=True):
    """What a seal says for ever."""

    text: str


class Seal(KubeObject, frozen=True, kw_only=True):
    """A seal."""

    resource: ClassVar[Resource] = Resource("contract.kubeloop.dev", "v1", "seals", "Seal", namespaced=False)
    immutable_spec: ClassVar[bool] = True

    spec: SealSpec


class ConfigMap(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "configmaps", "ConfigMap")

    data: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it


class Lease(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("coordination.k8s.io", "v1", "leases", "Lease")
