import json
from typing import Any, ClassVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kubeloop.model.base import KubeObject, ObjectKey, ObjectMeta, Resource, json_name
from kubeloop.model.codec import Undecodable, decode_object, decode_page, encode_object, encode_whole
from kubeloop.model.core import Pod
from kubeloop.model.crd import custom_resource_definition

from ..kinds import Widget, WidgetSpec


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


SCALARS = st.sampled_from([None, True, False, 0, -1, 1.5, 2**70, "", "x", [], {}, [None], {"x": None}, {"name": 1}])
OBJECTS = SCALARS | st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": SCALARS,
        "metadata": SCALARS
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "namespace", "uid", "labels"), SCALARS)),
        "spec": SCALARS | st.fixed_dictionaries({}, optional=dict.fromkeys(("size", "colour"), SCALARS)),
        "status": SCALARS,
    },
)


@given(st.lists(OBJECTS, max_size=5), st.integers(0, 5))
def test_whatever_is_wrong_with_an_object_the_rest_of_its_page_is_delivered(bad: list[Any], place: int) -> None:
    good = {"metadata": {"name": "good", "namespace": "n"}, "spec": {"size": 3}}
    items = [*bad[:place], good, *bad[place:]]
    page = decode_page(Widget, json.dumps({"metadata": {"resourceVersion": "7"}, "items": items}).encode())
    assert "good" in [item.metadata.name for item in page.items]
    assert len(page.items) + len(page.undecodable) == len(items)
    assert page.resource_version == "7"


WIDGETS = st.builds(
    Widget,
    metadata=st.builds(
        ObjectMeta,
        name=st.text(max_size=5),
        labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    ),
    spec=st.builds(WidgetSpec, size=st.integers(-(2**63), 2**63 - 1), colour=st.text(max_size=5)),
)


@given(WIDGETS)
def test_an_object_survives_being_written_and_read_whole_or_without_defaults(widget: Widget) -> None:
    assert decode_object(Widget, encode_object(widget)) == widget
    assert decode_object(Widget, encode_whole(widget)) == widget


@given(WIDGETS, st.sampled_from(["spec", "status", "metadata", "colour", "size", "labels"]))
def test_a_field_that_is_null_reads_as_if_it_were_absent(widget: Widget, field: str) -> None:
    body = json.loads(encode_whole(widget))
    absent = json.loads(encode_whole(widget))
    for form, place in ((body, None), (absent, "absent")):
        holder = next((one for one in (form, form["spec"], form["metadata"]) if field in one), form)
        holder.pop(field, None)
        if place is None:
            holder[field] = None
    assert decode_object(Widget, json.dumps(body).encode()) == decode_object(Widget, json.dumps(absent).encode())


def test_items_of_a_list_need_no_kind_of_their_own() -> None:
    page = decode_page(Widget, b'{"kind": "WidgetList", "metadata": {}, "items": [{"metadata": {"name": "w"}}]}')
    assert [item.metadata.name for item in page.items] == ["w"]


def test_a_whole_object_says_its_defaults_and_leaves_out_what_is_none() -> None:
    whole = json.loads(encode_whole(Widget(metadata=ObjectMeta(name="w"))))
    assert whole["metadata"] == {"name": "w"}
    assert whole["spec"] == {"size": 0, "colour": "red", "node": ""}
    assert whole["status"] == {"ready": False}


class _Carrier(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1", "carriers", "Carrier")

    note: str = ""
    load: msgspec.Raw = msgspec.Raw(b"{}")


def test_raw_json_is_kept_as_it_is_whatever_is_null_elsewhere() -> None:
    for note in (b'"x"', b"null"):
        carrier = decode_object(_Carrier, b'{"metadata": {"name": "c"}, "note": ' + note + b', "load": {"a": null}}')
        assert isinstance(carrier, _Carrier)
        assert json.loads(bytes(carrier.load)) == {"a": None}
        assert json.loads(encode_whole(carrier))["load"] == {"a": None}
        bare = decode_object(_Carrier, b'{"note": ' + note + b', "load": null}')
        assert isinstance(bare, _Carrier)
        assert bytes(bare.load) == b"null"
