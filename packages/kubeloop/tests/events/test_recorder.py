"""The recorder of Events: series, limits, and an API in trouble; on a virtual clock."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from kubeloop.client import errors
from kubeloop.client.client import Client
from kubeloop.events import EventRecorder, ObjectReference, reference
from kubeloop.metrics import Metrics
from kubeloop.model.base import ObjectMeta
from kubeloop.model.core import Node

from ..kinds import Widget, widget
from .server import EventServer, run_virtually

W = widget("w", 1)


class Bench:
    """A recorder that runs, its server, and what was counted as dropped."""

    def __init__(self, queue_size: int = 1000) -> None:
        self.server = EventServer()
        self.metrics = Metrics()
        self.recorder = EventRecorder(
            Client(self.server),
            reporting_controller="tests.kubeloop.dev/controller",
            reporting_instance="test-0",
            metrics=self.metrics,
            queue_size=queue_size,
            clock=lambda: asyncio.get_running_loop().time(),
        )

    def failed(self, obj: Widget | Node | ObjectReference = W, *, reason: str = "Failed", note: str = "no") -> None:
        self.recorder.event(obj, type="Warning", reason=reason, action="Create", note=note)

    def dropped(self, why: str) -> float:
        return self.metrics.registry.get_sample_value("kubeloop_events_dropped_total", {"reason": why}) or 0.0

    @property
    def counts(self) -> list[int]:
        return [event.get("series", {}).get("count", 1) for event in self.server.events.values()]


def scenario(steps: Callable[[Bench], Awaitable[None]], *, queue_size: int = 1000) -> Bench:
    async def run() -> Bench:
        bench = Bench(queue_size)
        running = asyncio.create_task(bench.recorder.run())
        await steps(bench)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return bench

    return run_virtually(run)


def test_an_event_says_who_did_what_to_which_object() -> None:
    async def steps(bench: Bench) -> None:
        bench.recorder.event(
            W, type="Normal", reason="Bound", action="Bind", note="to port p", related=ObjectReference(name="p")
        )
        await asyncio.sleep(1)

    bench = scenario(steps)
    [(name, event)] = bench.server.events.items()
    assert bench.server.calls == ["POST /apis/events.k8s.io/v1/namespaces/default/events"]
    assert name.startswith("w.")
    assert event.pop("eventTime").endswith("Z")
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "type": "Normal",
        "reason": "Bound",
        "action": "Bind",
        "note": "to port p",
        "reportingController": "tests.kubeloop.dev/controller",
        "reportingInstance": "test-0",
        "regarding": {
            "apiVersion": "tests.kubeloop.dev/v1",
            "kind": "Widget",
            "namespace": "default",
            "name": "w",
            "uid": "uid-w",
        },
        "related": {"name": "p"},
    }


def test_the_same_again_is_a_series_written_at_most_once_a_minute() -> None:
    async def steps(bench: Bench) -> None:
        for number in range(170):
            bench.failed(note=f"try {number}")
            await asyncio.sleep(1)

    bench = scenario(steps)
    assert bench.counts == [170]
    assert [call.split()[0] for call in bench.server.calls] == ["POST", "PATCH", "PATCH", "PATCH"]
    pauses = [after - before for before, after in zip(bench.server.times, bench.server.times[1:-1], strict=False)]
    assert min(pauses) >= 60
    assert next(iter(bench.server.events.values()))["note"] == "try 0"


def test_the_last_count_is_written_without_another_event() -> None:
    async def steps(bench: Bench) -> None:
        bench.failed()
        bench.failed()
        await asyncio.sleep(1)
        bench.failed()
        await asyncio.sleep(62)
        assert bench.counts == [3]

    scenario(steps)


def test_repeats_while_an_event_is_being_sent_do_not_fill_the_queue() -> None:
    async def steps(bench: Bench) -> None:
        for number in range(3):
            obj = widget(f"w{number}", 1)
            bench.failed(obj)
            await asyncio.sleep(0.0005)  # the create is on its way
            bench.failed(obj)
            await asyncio.sleep(61)

    bench = scenario(steps, queue_size=1)
    assert bench.dropped("queue_full") == 0
    assert bench.counts == [2, 2, 2]


def test_what_happens_while_an_event_is_being_sent_is_counted() -> None:
    async def steps(bench: Bench) -> None:
        bench.failed()
        while not bench.server.calls:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0)
        assert not bench.server.events
        bench.failed()
        await asyncio.sleep(61)
        assert bench.counts == [2]

    scenario(steps)


def test_after_six_quiet_minutes_a_new_series_starts() -> None:
    async def steps(bench: Bench) -> None:
        bench.failed()
        await asyncio.sleep(359)
        bench.failed()
        await asyncio.sleep(361)
        bench.failed()
        await asyncio.sleep(1)

    assert scenario(steps).counts == [2, 1]


def test_what_differs_in_more_than_the_note_is_no_series() -> None:
    async def steps(bench: Bench) -> None:
        bench.failed()
        bench.failed(reason="Other")
        bench.failed(widget("w", 1, uid="another"))
        bench.recorder.event(W, type="Normal", reason="Failed", action="Create")
        bench.recorder.event(W, type="Warning", reason="Failed", action="Delete")
        await asyncio.sleep(1)

    assert scenario(steps).counts == [1] * 5


def test_an_object_gets_25_at_once_and_one_more_each_5_minutes() -> None:
    async def steps(bench: Bench) -> None:
        for number in range(30):
            bench.failed(reason=f"Failed{number}")
        bench.failed(widget("another", 1))
        await asyncio.sleep(301)
        bench.failed(reason="Later")
        bench.failed(reason="TooMuch")
        await asyncio.sleep(1)

    bench = scenario(steps)
    assert len(bench.server.events) == 25 + 1 + 1
    assert bench.dropped("rate_limited") == 5 + 1


def test_events_beyond_the_queue_are_dropped_and_counted() -> None:
    async def steps(bench: Bench) -> None:
        for number in range(15):
            bench.failed(widget(f"w{number}", 1))
        await asyncio.sleep(1)
        bench.failed(widget("later", 1))
        await asyncio.sleep(1)

    bench = scenario(steps, queue_size=10)
    assert len(bench.server.events) == 11
    assert bench.dropped("queue_full") == 5


def test_a_namespace_that_is_terminating_gets_no_event_and_no_second_try() -> None:
    async def steps(bench: Bench) -> None:
        message = "unable to create new content in namespace x because it is being terminated"
        bench.server.faults = [(errors.Forbidden(message, status=403), False)]
        bench.failed()
        await asyncio.sleep(600)

    bench = scenario(steps)
    assert bench.server.calls == ["POST /apis/events.k8s.io/v1/namespaces/default/events"]
    assert bench.dropped("namespace_gone") == 1


@pytest.mark.parametrize("error", [errors.Forbidden("no RBAC", status=403), errors.Invalid("bad", status=422)])
def test_a_refused_event_is_dropped_and_the_next_is_sent(error: errors.ApiError) -> None:
    async def steps(bench: Bench) -> None:
        bench.server.faults = [(error, False)]
        bench.failed()
        bench.failed(widget("next", 1))
        await asyncio.sleep(1)

    bench = scenario(steps)
    assert bench.dropped("refused") == 1
    assert [name.split(".")[0] for name in bench.server.events] == ["next"]


def test_an_event_of_a_process_that_does_not_lead_is_dropped() -> None:
    async def steps(bench: Bench) -> None:
        bench.server.faults = [(errors.NotLeader("not leading"), False)]
        bench.failed()
        await asyncio.sleep(1)

    assert scenario(steps).dropped("not_leader") == 1


def test_a_series_whose_event_has_expired_is_created_anew() -> None:
    async def steps(bench: Bench) -> None:
        bench.failed()
        await asyncio.sleep(1)
        bench.server.events.clear()
        bench.failed()
        await asyncio.sleep(61)

    bench = scenario(steps)
    assert bench.counts == [2]
    assert [call.split()[0] for call in bench.server.calls] == ["POST", "PATCH", "POST"]


def test_a_create_whose_answer_was_lost_makes_no_second_event() -> None:
    async def steps(bench: Bench) -> None:
        bench.server.faults = [(errors.Unavailable("broken off"), True)]
        bench.failed()
        await asyncio.sleep(0.5)
        bench.failed()
        await asyncio.sleep(5)

    bench = scenario(steps)
    assert bench.counts == [2]


def test_an_outage_delays_events_and_a_long_one_costs_them() -> None:
    async def steps(bench: Bench) -> None:
        outage: tuple[errors.ApiError, bool] = (errors.Unavailable("down"), False)
        bench.server.faults = [outage] * 5
        bench.failed()
        await asyncio.sleep(60)
        assert bench.counts == [1]
        bench.server.faults = [outage] * 1000
        bench.failed(widget("lost", 1))
        await asyncio.sleep(600)
        assert bench.dropped("unavailable") == 1
        bench.server.faults.clear()

    scenario(steps)


def test_what_waits_when_it_is_cancelled_is_sent() -> None:
    async def steps(bench: Bench) -> None:
        bench.failed()
        await asyncio.sleep(1)
        bench.failed()
        bench.failed(reason="Last")
        await asyncio.sleep(0)

    assert scenario(steps).counts == [2, 1]


def test_a_server_that_hangs_delays_the_end_by_two_seconds() -> None:
    async def steps(bench: Bench) -> None:
        bench.server.hangs = True
        bench.failed()
        bench.failed(reason="Other")
        await asyncio.sleep(1)
        cancelled_at.append(asyncio.get_running_loop().time())

    async def timed() -> float:
        bench = Bench()
        running = asyncio.create_task(bench.recorder.run())
        await steps(bench)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert bench.dropped("shutdown") == 2
        return asyncio.get_running_loop().time() - cancelled_at[0]

    cancelled_at: list[float] = []
    assert 1.9 < run_virtually(timed) < 2.1


def test_notes_are_cut_between_characters_and_names_are_valid() -> None:
    async def steps(bench: Bench) -> None:
        bench.failed(note="x" + "é" * 600)
        bench.failed(widget("a" * 235 + "." + "b" * 17, 1))
        bench.failed(ObjectReference(kind="ClusterRole", name="system:node"))
        bench.failed(Node(metadata=ObjectMeta(name="n1")))
        await asyncio.sleep(1)

    bench = scenario(steps)
    names = list(bench.server.events)
    notes = [event["note"] for event in bench.server.events.values()]
    assert notes[0] == "x" + "é" * 511
    assert len(names[1]) <= 253
    assert ".." not in names[1]
    assert names[2].startswith("event.")
    assert names[3].startswith("n1.")
    assert bench.server.events[names[3]]["metadata"]["namespace"] == "default"


def test_a_recorder_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="reporting controller"):
        EventRecorder(Client(EventServer()), reporting_controller="", reporting_instance="i")


def test_a_reference_names_the_object() -> None:
    assert reference(reference(W)) == ObjectReference(
        api_version="tests.kubeloop.dev/v1", kind="Widget", namespace="default", name="w", uid="uid-w"
    )
