"""The queue against a model: never twice at a time, no lost key, priorities in order, delays, drain."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kubeloop.client.back_off import BackOff
from kubeloop.controller.work_queue import LIVE_IN_A_ROW, Priority, QueueClosed, RetryLimit, WorkQueue
from kubeloop.testing.virtual_time import VirtualTimeLoop, passed

KEYS = st.integers(0, 5)
PRIORITIES = st.sampled_from(Priority)
LIVE, LOW = Priority.LIVE, Priority.LOW


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        # back-off of exactly known length: jitter is tested elsewhere
        self.queue: WorkQueue[int] = WorkQueue(BackOff(0.0, 0.0), retry_limit=RetryLimit(1e9, 1))
        self.ready: dict[Priority, list[int]] = {LIVE: [], LOW: []}
        self.active: dict[int, Priority] = {}
        self.again: dict[int, Priority] = {}
        self.due: dict[int, tuple[float, Priority]] = {}
        self.in_a_row = 0
        self.closing = False

    def teardown(self) -> None:
        self.loop.close()

    def do(self, act: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return act()

        return self.loop.run_until_complete(run())

    def become_ready(self, key: int, priority: Priority) -> None:
        self.due.pop(key, None)
        if key in self.active:
            self.again[key] = max(priority, self.again.get(key, LOW))
        elif key not in self.ready[LIVE]:
            if priority is LIVE and key in self.ready[LOW]:
                self.ready[LOW].remove(key)
            if key not in self.ready[priority]:
                self.ready[priority].append(key)

    def is_ready(self, key: int) -> bool:
        return any(key in band for band in self.ready.values())

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: int, priority: Priority) -> None:
        self.do(lambda: self.queue.add(key, priority))
        if not self.closing:
            self.become_ready(key, priority)

    def delay(self, key: int, delay_s: float, priority: Priority) -> None:
        if self.closing or self.is_ready(key):
            return
        due = self.loop.time() + delay_s
        known = self.due.get(key)
        if known is not None:
            priority = max(priority, known[1])
        if known is None or due < known[0]:
            self.due.pop(key, None)  # to the end: of keys due at one time the one that was asked for first comes first
            self.due[key] = (due, priority)
        else:
            self.due[key] = (known[0], priority)

    # quarters are exact in floating point; moving the clock by halves leaves no doubt what is due
    @rule(key=KEYS, quarters=st.integers(1, 40), priority=PRIORITIES)
    def add_after(self, key: int, quarters: int, priority: Priority) -> None:
        self.delay(key, quarters / 4 + 0.125, priority)
        self.do(lambda: self.queue.add_after(key, quarters / 4 + 0.125, priority))

    @precondition(lambda self: self.active)
    @rule(data=st.data(), quarters=st.integers(1, 40))
    def fail(self, data: st.DataObject, quarters: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.active)))
        self.delay(key, quarters / 4 + 0.125, self.active[key])
        self.do(lambda: self.queue.add_failed(key, at_least_s=quarters / 4 + 0.125))

    @rule(halves=st.integers(1, 30))
    def time_passes(self, halves: int) -> None:
        self.loop.run_until_complete(passed(halves / 2))
        for key, (due, priority) in sorted(self.due.items(), key=lambda item: item[1][0]):
            if due <= self.loop.time():
                self.become_ready(key, priority)

    @precondition(lambda self: any(self.ready.values()))
    @rule()
    def get(self) -> None:
        key = self.loop.run_until_complete(self.queue.get())
        assert key not in self.active, "worked on twice at a time"
        live, low = self.ready[LIVE], self.ready[LOW]
        if live and not (low and self.in_a_row >= LIVE_IN_A_ROW):
            self.in_a_row = self.in_a_row + 1 if low else 0
            priority, expected = LIVE, live
        else:
            self.in_a_row = 0
            priority, expected = LOW, low
        assert key == expected.pop(0)
        self.active[key] = priority

    @precondition(lambda self: self.active)
    @rule(data=st.data(), parked=st.booleans())
    def done(self, data: st.DataObject, parked: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.active)))
        if parked:
            self.do(lambda: self.queue.park(key))
        self.do(lambda: self.queue.done(key))
        del self.active[key]
        if key in self.again:
            self.become_ready(key, self.again.pop(key))

    @precondition(lambda self: not self.closing and self.active)
    @rule(drain=st.booleans())
    def close(self, drain: bool) -> None:
        self.do(lambda: self.queue.close(drain=drain))
        self.closing = True
        self.due.clear()
        if not drain:
            self.ready = {LIVE: [], LOW: []}
            self.again.clear()

    @precondition(lambda self: self.closing and not any(self.ready.values()) and not self.again)
    @rule()
    def get_from_the_closed(self) -> None:
        try:
            self.loop.run_until_complete(self.queue.get())
        except QueueClosed:
            return
        raise AssertionError("a closed and empty queue must not hand out anything")

    @invariant()
    def as_many_are_ready_as_in_the_model(self) -> None:
        assert len(self.queue) == sum(map(len, self.ready.values()))
        for key in self.active:
            assert not self.is_ready(key)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_workers_that_come_and_go_lose_no_key_and_never_share_one() -> None:
    """A swarm: every add is followed by a look at the key, whatever workers are cancelled meanwhile."""

    async def scenario() -> None:
        queue: WorkQueue[int] = WorkQueue(BackOff(0.01, 0.1))
        asked = dict.fromkeys(range(7), 0)
        seen = dict.fromkeys(range(7), 0)
        at_work: set[int] = set()

        async def work() -> None:
            while True:
                key = await queue.get()
                assert key not in at_work
                at_work.add(key)
                seen[key] = asked[key]
                try:
                    await asyncio.sleep(0.003 * (key + 1))
                finally:
                    at_work.remove(key)
                    queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(3)]
        for n in range(500):
            key = (n * 5) % 7
            asked[key] += 1
            queue.add(key, LIVE if n % 3 else LOW)
            if n % 11 == 0:
                workers.pop(0).cancel()
                workers.append(asyncio.create_task(work()))
            await asyncio.sleep(0.001 * (n % 4))
        await asyncio.sleep(10)
        for worker in workers:
            worker.cancel()
        assert seen == asked

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())
