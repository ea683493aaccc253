"""Why a pod waits is told once per reason, in its own status and by an Event, and taken back when it has its port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from kubeloop import Client, EventRecorder, KubeObject, ObjectMeta, Pod, Resource, connect, find_condition
from kubeloop.simulator import SimulatedCluster
from kuryr.openstack import errors
from kuryr.ports.notices import CONDITION, NO_POOL, PodNotices, reason_of


class WholePod(KubeObject, frozen=True, kw_only=True):
    """A pod as it is created: with containers."""

    resource: ClassVar[Resource] = Pod.resource
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class Event(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("events.k8s.io", "v1", "events", "Event")
    reason: str = ""


class Subject:
    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self.client = client
        self.recorder = recorder
        self.notices = PodNotices(client, recorder)

    async def pod(self) -> Pod:
        return await self.client.get(Pod, "p", namespace="default")

    async def events(self) -> list[str]:
        """The reasons of the pod's Events, sent by now."""
        sending = asyncio.ensure_future(self.recorder.run())
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        return [event.reason for event in (await self.client.list_all(Event)).items]

    async def shown(self) -> tuple[str, str, str]:
        """Status, reason and message of the condition."""
        found = find_condition((await self.pod()).status.conditions, CONDITION)
        return (found.status, found.reason, found.message) if found is not None else ("", "", "")


@asynccontextmanager
async def waiting_pod() -> AsyncIterator[Subject]:
    async with connect(SimulatedCluster(), user_agent="test/1", field_manager="kuryr") as client:
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(WholePod(metadata=ObjectMeta(name="p", namespace="default"), spec=spec))
        yield Subject(client, EventRecorder(client, reporting_controller="kuryr", reporting_instance="test"))


QUOTA = errors.QuotaExceeded("POST /ports: 409 OverQuota", status=409, request_id="req-1")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (QUOTA, "QuotaExceeded"),
        (errors.NoAddress("x"), "SubnetFull"),
        (errors.BindingFailed("x"), "BindingFailed"),
        (errors.NotFound("x"), "NetworkNotFound"),
        (errors.Unauthorised("x"), "NotAuthorised"),
        (errors.Rejected("x"), "PortRejected"),
        (errors.Conflict("x"), "CloudUnavailable"),
        (errors.Throttled("x"), "CloudUnavailable"),
        (errors.Unavailable("x"), "CloudUnavailable"),
    ],
)
def test_each_error_of_neutron_has_its_reason(error: errors.OpenStackError, reason: str) -> None:
    assert reason_of(error).name == reason


async def test_the_pod_says_why_it_waits_what_to_do_and_neutrons_request_id() -> None:
    async with waiting_pod() as subject:
        assert await subject.notices.tell(await subject.pod(), reason_of(QUOTA), str(QUOTA))
        status, reason, message = await subject.shown()
        assert (status, reason) == ("False", "QuotaExceeded")
        assert "req-1" in message
        assert "raise the project's quota" in message
        assert await subject.events() == ["QuotaExceeded"]


async def test_it_is_told_once_although_the_request_id_is_another_each_time() -> None:
    async with waiting_pod() as subject:
        stale = await subject.pod()
        for number in range(3):
            assert await subject.notices.tell(stale, reason_of(QUOTA), f"req-{number}")
        first = await subject.pod()
        # another leader, which knows only what the pod says
        subject.notices = PodNotices(subject.client, subject.recorder)
        assert await subject.notices.tell(first, reason_of(QUOTA), "req-9")
        assert await subject.pod() == first
        assert await subject.events() == ["QuotaExceeded"]


async def test_another_reason_takes_the_place_of_the_first_but_not_its_time() -> None:
    async with waiting_pod() as subject:
        await subject.notices.tell(await subject.pod(), reason_of(QUOTA))
        before = find_condition((await subject.pod()).status.conditions, CONDITION)
        await subject.notices.tell(await subject.pod(), reason_of(errors.NoAddress("x")))
        after = find_condition((await subject.pod()).status.conditions, CONDITION)
        assert before is not None
        assert after is not None
        assert after.reason == "SubnetFull"
        assert after.last_transition_time == before.last_transition_time


async def test_a_trouble_that_passes_is_not_told_at_once() -> None:
    async with waiting_pod() as subject:
        assert not await subject.notices.tell(await subject.pod(), NO_POOL)
        await subject.notices.settle(await subject.pod())
        assert await subject.shown() == ("", "", "")
        assert await subject.events() == []


async def test_the_condition_turns_when_the_pod_has_its_port_and_other_conditions_stay() -> None:
    async with waiting_pod() as subject:
        await subject.notices.tell(await subject.pod(), reason_of(QUOTA))
        others = [one for one in (await subject.pod()).status.conditions if one.type != CONDITION]
        await subject.notices.settle(await subject.pod())
        assert (await subject.shown())[:2] == ("True", "PortClaimed")
        settled = await subject.pod()
        assert [one for one in settled.status.conditions if one.type != CONDITION] == others
        await subject.notices.settle(settled)
        assert await subject.pod() == settled


async def test_nothing_is_written_to_a_pod_that_never_waited() -> None:
    async with waiting_pod() as subject:
        before = await subject.pod()
        await subject.notices.settle(before)
        assert await subject.pod() == before


async def test_a_pod_that_went_meanwhile_is_no_trouble() -> None:
    async with waiting_pod() as subject:
        gone = await subject.pod()
        await subject.client.delete(Pod, "p", namespace="default", grace_period_s=0)
        assert not await subject.notices.tell(gone, reason_of(QUOTA))
