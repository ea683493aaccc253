"""The client over a scripted transport: what it sends, what it repeats, what it notes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kubeloop.client import errors
from kubeloop.client.client import ApplyPatch, Client, JsonPatch, MergePatch
from kubeloop.client.transport import Request, Response
from kubeloop.client.writes import Write, noted
from kubeloop.model.base import KubeStruct, ObjectKey, ObjectMeta

from ..gadgets import Gadget, GadgetSpec
from ..kinds import Widget, WidgetSpec

WIDGET: dict[str, Any] = {
    "kind": "Widget",
    "metadata": {"name": "w", "namespace": "n", "uid": "u", "resourceVersion": "7"},
}
GADGET = {"metadata": {"name": "g", "resourceVersion": "8"}, "spec": {"model": "m"}}
KEY = ObjectKey("n", "w")


class Script:
    """A transport whose answers are given: bodies, or errors that it raises. `sent` is what was asked of it."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.sent: list[Request] = []
        self.timeouts_s: list[float] = []

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        self.sent.append(request)
        self.timeouts_s.append(timeout_s)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Response(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    @asynccontextmanager
    async def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self.sent.append(request)
        yield self._lines(self._answers.pop(0))

    async def _lines(self, events: list[Any]) -> AsyncIterator[bytes]:
        for event in events:
            yield json.dumps(event).encode()

    async def close(self) -> None: ...

    def body(self) -> Any:
        """Of the last request."""
        return json.loads(self.sent[-1].body)

    def query(self) -> dict[str, str]:
        """Of the last request."""
        return dict(self.sent[-1].query)


@pytest.fixture
def record() -> Iterator[list[Write]]:
    found: list[Write] = []
    token = noted.set(found)
    yield found
    noted.reset(token)


def _widget(name: str = "w") -> Widget:
    return Widget(metadata=ObjectMeta(name=name, namespace="n"), spec=WidgetSpec(size=2))


LOST = errors.Unavailable("broken off")
NOT_SENT = errors.Unavailable("refused", sent=False)
SHED = errors.Throttled("too many requests", status=429, retry_after_s=0.01)
BUDGET = errors.Throttled("a disruption budget forbids it", status=429)


@pytest.mark.parametrize("harmless", [NOT_SENT, SHED])
async def test_a_write_is_repeated_when_the_first_had_no_effect(harmless: errors.ApiError) -> None:
    script = Script(harmless, WIDGET)
    assert (await Client(script).create(_widget())).metadata.uid == "u"
    assert len(script.sent) == 2


@pytest.mark.parametrize("error", [LOST, errors.Unavailable("busy", status=503, retry_after_s=0.01), BUDGET])
async def test_no_write_is_repeated_that_may_have_had_an_effect_or_was_refused_for_good(error: errors.ApiError) -> None:
    client = Client(script := Script(*[error] * 6))
    generated = Widget(metadata=ObjectMeta(generate_name="w-", namespace="n"))
    for call in (
        client.create(_widget()),
        client.create(generated),
        client.patch(Widget, "w", MergePatch({})),
        client.delete(Widget, "w"),
        client.delete_collection(Widget, namespace="n"),
        client.replace(Gadget(spec=GadgetSpec(model="m"))),
    ):
        with pytest.raises(type(error)):
            await call
    assert len(script.sent) == 6


@pytest.mark.parametrize("error", [LOST, NOT_SENT, SHED, BUDGET])
async def test_a_read_is_repeated(error: errors.ApiError) -> None:
    script = Script(error, WIDGET)
    assert (await Client(script).get(Widget, "w", namespace="n")).key == KEY
    assert len(script.sent) == 2


async def test_the_deadline_is_over_all_attempts_and_no_wait_goes_beyond_it() -> None:
    script = Script(NOT_SENT, errors.Throttled("later", status=429, retry_after_s=60))
    started = asyncio.get_running_loop().time()
    with pytest.raises(errors.Throttled):
        await Client(script, timeout_s=30).create(_widget(), timeout_s=5)
    assert asyncio.get_running_loop().time() - started < 4
    assert script.timeouts_s[0] == pytest.approx(5, abs=0.1)
    assert script.timeouts_s[1] < script.timeouts_s[0]


async def test_each_accepted_write_is_noted_with_its_version(record: list[Write]) -> None:
    client = Client(Script(WIDGET, WIDGET, WIDGET))
    await client.create(_widget())
    await client.patch(Widget, "w", MergePatch({}), namespace="n")
    await client.patch(Widget, "w", MergePatch({}), namespace="n", subresource="status")
    assert record == [Write(Widget, KEY, "u", "7")] * 3


async def test_neither_dry_runs_nor_refusals_nor_reads_are_noted(record: list[Write]) -> None:
    client = Client(script := Script(WIDGET, WIDGET, WIDGET, GADGET, WIDGET, errors.Conflict("changed")))
    await client.create(_widget(), dry_run=True)
    assert script.query()["dryRun"] == "All"
    await client.patch(Widget, "w", MergePatch({}), dry_run=True)
    assert script.query()["dryRun"] == "All"
    await client.delete(Widget, "w", dry_run=True)
    assert script.body()["dryRun"] == ["All"]
    await client.replace(Gadget(metadata=ObjectMeta(name="g"), spec=GadgetSpec(model="m")), dry_run=True)
    assert script.query()["dryRun"] == "All"
    await client.get(Widget, "w")
    with pytest.raises(errors.Conflict):
        await client.patch(Widget, "w", MergePatch({}))
    assert record == []


async def test_a_write_whose_answer_does_not_decode_is_noted_all_the_same(record: list[Write]) -> None:
    with pytest.raises(errors.DecodeError, match="was written"):
        await Client(Script({**WIDGET, "spec": {"size": "large"}})).create(_widget())
    assert record == [Write(Widget, KEY, "u", "7")]


async def test_a_delete_is_answered_with_the_object_that_goes_or_with_a_status(record: list[Write]) -> None:
    going = {**WIDGET, "metadata": {**WIDGET["metadata"], "deletionTimestamp": "x", "finalizers": ["f"]}}
    gone = {"kind": "Status", "status": "Success", "details": {"name": "w", "uid": "u2"}}
    client = Client(Script(going, gone, {"kind": "Status"}))
    left = await client.delete(Widget, "w", namespace="n")
    assert left is not None
    assert left.metadata.deleting
    assert await client.delete(Widget, "w", namespace="n") is None
    assert await client.delete(Widget, "w", namespace="n", uid="u3") is None
    assert record == [
        Write(Widget, KEY, "u", "7", deleted=True),
        Write(Widget, KEY, "u2", "", deleted=True),
        Write(Widget, KEY, "u3", "", deleted=True),
    ]


async def test_the_patch_that_takes_the_last_finalizer_is_noted_as_a_deletion(record: list[Write]) -> None:
    last = {**WIDGET, "metadata": {**WIDGET["metadata"], "deletionTimestamp": "x"}}
    pod = {"metadata": {**last["metadata"], "deletionGracePeriodSeconds": 30}}
    client = Client(Script(last, pod))
    await client.patch(Widget, "w", MergePatch({}), namespace="n")
    await client.patch(Widget, "w", MergePatch({}), namespace="n")
    assert record == [Write(Widget, KEY, "u", "", deleted=True), Write(Widget, KEY, "u", "7")]


async def test_delete_says_what_holds_and_what_becomes_of_dependents() -> None:
    script = Script(WIDGET)
    await Client(script).delete(
        Widget, "w", uid="u", resource_version="7", propagation_policy="Foreground", grace_period_s=0
    )
    assert script.body() == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
    }


async def test_a_collection_is_deleted_in_a_named_namespace_or_expressly_in_all() -> None:
    listed = {"metadata": {}, "items": [{"metadata": {"name": "a", "namespace": n}} for n in ("y", "x", "y")]}
    script = Script(listed, {"items": []}, {"items": []})
    client = Client(script)
    with pytest.raises(ValueError, match="name a namespace"):
        await client.delete_collection(Widget)
    with pytest.raises(ValueError, match="name a namespace"):
        await client.delete_collection(Widget, namespace="n", all_namespaces=True)
    assert script.sent == []
    await client.delete_collection(Widget, all_namespaces=True, label_selector="a=b")
    assert [(request.method, request.path.split("/")[-2]) for request in script.sent] == [
        ("GET", "v1"),
        ("DELETE", "x"),
        ("DELETE", "y"),
    ]
    assert all(dict(request.query)["labelSelector"] == "a=b" for request in script.sent)


async def test_only_a_complete_kind_is_replaced_and_then_with_all_its_fields() -> None:
    script = Script(GADGET)
    with pytest.raises(TypeError, match="use a patch"):
        await Client(script).replace(_widget())
    assert script.sent == []
    meta = ObjectMeta(name="g", namespace="n", uid="u", resource_version="7")
    await Client(script).replace(Gadget(metadata=meta, spec=GadgetSpec(model="m")), subresource="status")
    assert (script.sent[0].method, script.sent[0].path.rpartition("gadgets")[2]) == ("PUT", "/g/status")
    body = script.body()
    assert body["metadata"] == {"name": "g", "namespace": "n", "uid": "u", "resourceVersion": "7"}
    assert (body["spec"]["replicas"], body["spec"]["min"], body["spec"]["tags"]) == (1, 0, ["new"])
    assert "port" not in body["spec"]


@pytest.mark.parametrize(
    ("patch", "body"),
    [
        (MergePatch({"spec": {}}), {"spec": {}, "metadata": {"uid": "u", "resourceVersion": "7"}}),
        (
            JsonPatch([{"op": "remove", "path": "/x"}]),
            [
                {"op": "test", "path": "/metadata/uid", "value": "u"},
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "remove", "path": "/x"},
            ],
        ),
        (
            ApplyPatch({"metadata": {"labels": {"a": "b"}}}, force=True),
            {
                "apiVersion": "tests.kubeloop.dev/v1",
                "kind": "Widget",
                "metadata": {"labels": {"a": "b"}, "uid": "u", "resourceVersion": "7", "name": "w"},
            },
        ),
    ],
)
async def test_each_kind_of_patch_says_on_which_state_it_may_take_effect(patch: Any, body: Any) -> None:
    script = Script(WIDGET)
    client = Client(script).with_field_manager("other")
    await client.patch(Widget, "w", patch, namespace="n", uid="u", resource_version="7")
    assert script.body() == body
    assert script.query()["fieldManager"] == "other"
    assert ("force" in script.query()) == isinstance(patch, ApplyPatch)


class _Scale(KubeStruct, frozen=True, kw_only=True):
    spec: dict[str, int]


async def test_a_subresource_of_another_kind_is_decoded_as_that_and_never_noted(record: list[Write]) -> None:
    scale = {"kind": "Scale", "metadata": {"name": "w", "resourceVersion": "9"}, "spec": {"replicas": 2}}
    client = Client(script := Script(scale, scale, scale, {"spec": 1}))
    assert (await client.get_subresource(Widget, "w", "scale", _Scale)).spec == {"replicas": 2}
    await client.patch_subresource(Widget, "w", "scale", MergePatch({}), _Scale, namespace="n")
    await client.create_subresource(Widget, "w", "eviction", _widget(), _Scale, namespace="n")
    assert script.sent[-1].path.endswith("/namespaces/n/widgets/w/eviction")
    with pytest.raises(errors.DecodeError):
        await client.get_subresource(Widget, "w", "scale", _Scale)
    assert record == []


async def test_an_answer_that_is_no_json_is_a_decode_error_from_every_call(record: list[Write]) -> None:
    html = b"<html>a proxy's page</html>"
    client = Client(Script(*[html] * 5))
    calls = [
        client.get(Widget, "w", namespace="n"),
        client.list(Widget),
        client.create(_widget()),
        client.get_subresource(Widget, "w", "scale", _Scale),
        client.delete(Widget, "w", namespace="n"),
    ]
    for call in calls:
        with pytest.raises(errors.DecodeError):
            await call
    assert [(write.key, write.deleted) for write in record] == [(KEY, True)]


def _page(name: str, continue_: str = "") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "5", "continue": continue_}, "items": [{"metadata": {"name": name}}]}


async def test_all_pages_are_one_list() -> None:
    script = Script(_page("a", "more"), _page("b"))
    found = await Client(script).list_all(Widget, limit=1, label_selector="x=y")
    assert [one.metadata.name for one in found.items] == ["a", "b"]
    assert [dict(request.query).get("continue") for request in script.sent] == [None, "more"]
    assert all(dict(request.query)["labelSelector"] == "x=y" for request in script.sent)


async def test_a_list_that_expires_on_the_way_is_read_once_more_in_one_piece() -> None:
    script = Script(_page("a", "more"), errors.Gone("expired", status=410), _page("c"))
    found = await Client(script).list_all(Widget, limit=1)
    assert [one.metadata.name for one in found.items] == ["c"]
    assert "limit" not in script.query()


async def test_a_list_passes_the_version_and_how_it_is_meant() -> None:
    script = Script(_page("a"))
    await Client(script).list(Widget, resource_version="5", resource_version_match="NotOlderThan")
    assert script.query() == {"resourceVersion": "5", "resourceVersionMatch": "NotOlderThan"}


async def test_a_watch_with_initial_events_marks_their_end() -> None:
    end = {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}
    script = Script(
        [
            {"type": "ADDED", "object": WIDGET},
            {"type": "INVENTED", "object": {}},
            {"type": "BOOKMARK", "object": {"metadata": end}},
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "10"}}},
        ]
    )
    async with Client(script).watch(Widget, resource_version="", send_initial_events=True) as events:
        seen = [(event.type, event.resource_version, event.initial_events_end) async for event in events]
    assert seen == [("ADDED", "7", False), ("BOOKMARK", "9", True), ("BOOKMARK", "10", False)]
    assert script.query() == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "timeoutSeconds": "300",
    }


async def test_a_watch_without_them_asks_for_none() -> None:
    script = Script([{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}])
    with pytest.raises(errors.Gone):
        async with Client(script).watch(Widget, resource_version="5") as events:
            _ = [event async for event in events]
    assert "sendInitialEvents" not in script.query()
    assert "resourceVersionMatch" not in script.query()
