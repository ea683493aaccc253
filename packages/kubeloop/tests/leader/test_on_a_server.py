"""Leader election on a real API server."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime

from kubeloop.client.client import Client, connect
from kubeloop.leader import LeaderElection, Lease
from kubeloop.testing import ControlPlane


def _election(client: Client, name: str, identity: str) -> LeaderElection:
    return LeaderElection(
        client,
        namespace="kube-system",
        name=name,
        identity=identity,
        lease_duration_s=3,
        renew_deadline_s=2,
        retry_period_s=0.3,
    )


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a clock decides
            await asyncio.sleep(0.02)


async def _forever() -> None:
    await asyncio.Event().wait()


async def test_the_server_takes_what_we_write_and_the_standby_follows(control_plane: ControlPlane) -> None:
    async with connect(control_plane.config(), user_agent="election/1") as client:
        first, second = _election(client, "handed-over", "first"), _election(client, "handed-over", "second")
        leading = asyncio.create_task(first.run(_forever))
        await _until(lambda: first.leading)
        following = asyncio.create_task(second.run(_forever))
        await asyncio.sleep(3.5)  # longer than a lease: renewed, or the second leads
        assert first.leading
        leading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leading
        released = time.monotonic()
        await _until(lambda: second.leading)
        assert time.monotonic() - released < 1
        lease = await client.get(Lease, "handed-over", namespace="kube-system")
        assert lease.spec.holder_identity == "second"
        assert lease.spec.lease_transitions == 1
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        lease = await client.get(Lease, "handed-over", namespace="kube-system")
        assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == ("", 1)


PROGRAM = """
import asyncio, sys
from kubeloop.client.client import Client, MergePatch, connect
from kubeloop.client.kubeconfig import load_config
from kubeloop.client.transport import HttpTransport
from kubeloop.leader import LeaderElection, LeadershipLost
from kubeloop.model.core import Namespace

async def main():
    config = load_config(sys.argv[1])
    async with connect(config, user_agent="paused-lease/1") as leases:
        election = LeaderElection(
            leases, namespace="kube-system", name="paused", lease_duration_s=3, renew_deadline_s=2, retry_period_s=0.3
        )
        async with HttpTransport(config, user_agent="paused-work/1", fence=election) as transport:
            await work(election, Client(transport))

async def work(election, client):
    async def lead():
        for number in range(100_000):
            patch = MergePatch({"metadata": {"annotations": {"written": str(number)}}})
            try:
                await client.patch(Namespace, "default", patch)
                if number == 0:
                    print("leading", flush=True)
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass  # deaf: only the fence stops it

    try:
        await election.run(lead)
    except LeadershipLost as error:
        print("lost", error, flush=True)

asyncio.run(main())
"""


async def test_a_process_stopped_by_a_signal_writes_nothing_after_another_leads(control_plane: ControlPlane) -> None:
    async with connect(control_plane.config(), user_agent="election/1") as client:
        paused = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(control_plane.kubeconfig), stdout=asyncio.subprocess.PIPE
        )
        assert paused.stdout is not None
        try:
            assert await paused.stdout.readline() == b"leading\n"
            paused.send_signal(signal.SIGSTOP)
            other = _election(client, "paused", "other")
            following = asyncio.create_task(other.run(_forever))
            await _until(lambda: other.leading)
            taken_over = time.time()
            paused.send_signal(signal.SIGCONT)
            said, _ = await paused.communicate()
            assert said.startswith(b"lost lease kube-system/paused")
            assert other.leading
        finally:
            with contextlib.suppress(ProcessLookupError):
                paused.kill()
            await paused.wait()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    writes = [
        datetime.fromisoformat(line["requestReceivedTimestamp"]).timestamp()
        for line in control_plane.audit()
        if line["userAgent"] == "paused-work/1" and line["verb"] == "patch"
    ]
    assert writes
    # what the server had received before, it may have answered since
    assert max(writes) < taken_over
