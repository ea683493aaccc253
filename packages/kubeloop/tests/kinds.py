"""A kind and objects for tests."""

from typing import ClassVar

from kubeloop.model.base import KubeObject, KubeStruct, ObjectMeta, Resource
from kubeloop.model.crd import PrinterColumn


class WidgetSpec(KubeStruct, frozen=True, kw_only=True):
    """What a widget should be."""

    size: int = 0
    colour: str = "red"
    node: str = ""


class WidgetStatus(KubeStruct, frozen=True, kw_only=True):
    """What a widget is."""

    ready: bool = False


class Widget(KubeObject, frozen=True, kw_only=True):
    """A widget."""

    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1", "widgets", "Widget")
    selectable_fields: ClassVar[tuple[str, ...]] = (".spec.node",)
    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (PrinterColumn("Size", "integer", ".spec.size"),)

    spec: WidgetSpec = WidgetSpec()
    status: WidgetStatus = WidgetStatus()


def widget(name: str, version: int, *, uid: str = "", size: int = 0, namespace: str = "default") -> Widget:
    meta = ObjectMeta(name=name, namespace=namespace, uid=uid or f"uid-{name}", resource_version=str(version))
    return Widget(metadata=meta, spec=WidgetSpec(size=size))
