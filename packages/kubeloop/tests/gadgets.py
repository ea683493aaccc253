"""A kind that uses everything which a schema can say."""

import enum
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from kubeloop.model.base import Condition, KubeObject, KubeStruct, Resource
from kubeloop.model.crd import Scale
from kubeloop.model.markers import Quantity, Rule, immutable, int32, list_map, list_set, rule


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Part(KubeStruct, frozen=True, kw_only=True):
    """A part."""

    name: str
    weight: Annotated[int, int32()] = 1


class GadgetSpec(KubeStruct, frozen=True, kw_only=True):
    """What a gadget should be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.min) || self.min <= self.max", "min is at most max", field_path=".min"),
    )

    model: Annotated[str, immutable(), Meta(description="what it is", min_length=1, max_length=20)]
    owner: Annotated[str, immutable(), Meta(max_length=10)] = ""
    namespace: Annotated[str, immutable("stays where it is"), Meta(max_length=10)] = ""
    min: Annotated[int, rule("self != 13", "is unlucky")] = 0
    max: int = 5
    replicas: int = 1
    colour: Colour = Colour.RED
    level: Literal[1, 2, 3] = 2
    port: int | str | None = None
    memory: Quantity = "1Gi"
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    since: datetime | None = None
    seal: bytes | None = None  # empty text is no base64 to the server
    parts: Annotated[tuple[Part, ...], list_map("name"), Meta(max_length=8)] = ()
    tags: Annotated[tuple[str, ...], list_set()] = ("new",)
    limits: Annotated[dict[str, int], Meta(max_length=4)] = msgspec.field(default_factory=dict)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    extra: Any = None


class GadgetStatus(KubeStruct, frozen=True, kw_only=True):
    """What a gadget is."""

    replicas: int = 0
    conditions: Annotated[tuple[Condition, ...], list_map("type")] = ()


class Gadget(KubeObject, frozen=True, kw_only=True):
    """A gadget."""

    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1", "gadgets", "Gadget")
    complete: ClassVar[bool] = True
    scale: ClassVar[Scale] = Scale()

    spec: GadgetSpec
    status: GadgetStatus = GadgetStatus()


class GadgetAlpha(KubeObject, frozen=True, kw_only=True):
    """Gadgets as they were first served."""

    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1alpha1", "gadgets", "Gadget")
    storage: ClassVar[bool] = False
    deprecation_warning: ClassVar[str] = "use v1"

    spec: GadgetSpec
