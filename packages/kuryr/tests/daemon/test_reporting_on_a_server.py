"""The reporter on a real API server, with the rights of deploy/rbac.yaml and no others."""

import asyncio
import uuid
from collections.abc import Mapping

from kubeloop import Informer, Node, ObjectKey, ObjectMeta, connect, is_true
from kubeloop.testing import ControlPlane
from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.daemon.reporting import NodeReporter
from kuryr.model.resources import KuryrNode

from ..conftest import acting_as, refusals
from .fakes import FakeHost, FakeVswitch


class Underlay:
    async def get_mtus(self) -> Mapping[str, int]:
        return {"192.0.2.1": 1500}


class Connected:
    async def fetch_status(self) -> OvnControllerStatus:
        return OvnControllerStatus(True, "Connected")


async def test_a_node_reports_itself_also_when_its_daemon_is_started_again(control_plane: ControlPlane) -> None:
    name = f"t-{uuid.uuid4().hex[:8]}"
    async with (
        connect(control_plane.config(), user_agent="test/1", field_manager="test") as client,
        connect(
            acting_as(control_plane, "kuryr-daemon", node=name), user_agent="test/1", field_manager="kuryr"
        ) as daemons,
        asyncio.TaskGroup() as group,
    ):
        node = await client.create(Node(metadata=ObjectMeta(name=name)))
        reported = Informer(client, KuryrNode)
        following = group.create_task(reported.run())
        for bridges, healthy in (("br-int",), True), ((), False):
            reporter = NodeReporter(daemons, FakeHost(Underlay(), FakeVswitch(*bridges), Connected()), node=name)
            reporting = group.create_task(reporter.run())

            def is_told(one: KuryrNode | None, healthy: bool = healthy) -> bool:
                return (
                    one is not None
                    and bool(one.status.host_id)
                    and is_true(one.status.conditions, "OVNReady") == healthy
                )

            async with asyncio.timeout(20):
                seen = await reported.wait_for(ObjectKey("", name), is_told)
            reporting.cancel()
            assert seen is not None
            assert (seen.spec.node_uid, seen.status.host_id) == (node.metadata.uid, "node1.example")
            assert (seen.status.mtu, is_true(seen.status.conditions, "OVSReady")) == (1442, True)
        following.cancel()
        for kind in (Node, KuryrNode):  # or the controllers of other tests give it a port
            await client.delete(kind, name)
        assert not refusals(control_plane)
