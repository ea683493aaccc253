import json

from kubeloop.model.base import ObjectKey, ObjectMeta, json_name
from kubeloop.model.codec import Undecodable, decode_object, decode_page, encode_object
from kubeloop.model.core import Pod
from kubeloop.model.crd import custom_resource_definition

from .kinds import Widget, WidgetSpec


def test_field_names_follow_the_api_conventions() -> None:
    assert [json_name(name) for name in ("pod_ip", "owner_references", "uid", "host_id", "security_group_ids")] == [
        "podIP",
        "ownerReferences",
        "uid",
        "hostID",
        "securityGroupIDs",
    ]


def test_null_equals_absent_and_unknown_fields_are_skipped() -> None:
    body = {"metadata": {"name": "p", "labels": None, "x": 1}, "spec": {"nodeName": None, "hostNetwork": True}}
    pod = decode_object(Pod, json.dumps(body).encode())
    assert isinstance(pod, Pod)
    assert (pod.metadata.name, pod.spec.node_name, pod.spec.host_network) == ("p", "", True)


def test_one_bad_object_does_not_spoil_its_page() -> None:
    good = {"metadata": {"name": "good", "namespace": "n"}}
    bad = {"metadata": {"name": "bad", "namespace": "n", "uid": "u"}, "spec": {"size": "large"}}
    body = {"metadata": {"resourceVersion": "7", "continue": "c"}, "items": [good, bad]}
    page = decode_page(Widget, json.dumps(body).encode())
    assert [item.metadata.name for item in page.items] == ["good"]
    assert [(one.key, one.uid) for one in page.undecodable] == [(ObjectKey("n", "bad"), "u")]
    assert (page.resource_version, page.continue_) == ("7", "c")
    assert "spec.size" in page.undecodable[0].problem


def test_an_empty_list_may_say_null() -> None:
    assert decode_page(Widget, b'{"metadata": {"resourceVersion": "7"}, "items": null}').items == ()


def test_garbage_without_metadata_is_undecodable_not_an_exception() -> None:
    assert isinstance(decode_object(Widget, b'{"metadata": []}'), Undecodable)


def test_an_object_is_written_with_its_kind_and_without_defaults() -> None:
    obj = Widget(metadata=ObjectMeta(name="w"), spec=WidgetSpec(size=2))
    assert json.loads(encode_object(obj)) == {
        "apiVersion": "tests.kubeloop.dev/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"size": 2},
    }


def test_a_definition_has_schema_defaults_columns_and_the_status_subresource() -> None:
    version = custom_resource_definition(Widget)["spec"]["versions"][0]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    assert properties["spec"]["properties"]["colour"] == {"type": "string", "default": "red"}
    assert version["subresources"] == {"status": {}}
    assert version["selectableFields"] == [{"jsonPath": ".spec.node"}]
    assert version["additionalPrinterColumns"] == [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
