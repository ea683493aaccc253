"""What the daemon does when the others fail, come late or disagree: on a simulated machine."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec

import kubeloop as k
from kubeloop.testing import Process
from kuryr.cli.daemon import run_node
from kuryr.model.configuration import Configuration, Daemon
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool, QuarantinedPort

from ..simulator.node.effects import local_gate
from .node_scenes import Node, netns_of, play, refused

T = TypeVar("T")
ADDRESS = "10.1.0.5"


def conflict(claim: KuryrPort | None) -> bool:
    return claim is not None and k.is_true(claim.status.conditions, "PortConflict")


# Without the API server


def test_with_the_api_server_away_a_killed_sandbox_is_rebuilt_with_its_address() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        node.daemon.isolate(300)
        await node.remove()
        await node.call("ADD", "c1")
        assert node.addresses("c1") == [ADDRESS]
        assert node.rows() == {"c1": "port-1"}

    play(scene)


def test_so_it_is_when_the_daemon_was_started_again_meanwhile() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        await asyncio.sleep(2)
        await node.restart(away_s=300)
        asked = node.world.now
        await node.remove()
        await node.call("ADD", "c1")
        assert node.world.now - asked < 2
        assert node.addresses("c1") == [ADDRESS]
        await asyncio.sleep(400)
        claim = node.seen()
        assert claim is not None
        assert claim.status.sandbox == "c1"

    play(scene)


def test_and_when_the_whole_machine_was() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        await asyncio.sleep(2)
        node.daemon.kill(restart_s=0.5)
        node.machine.power_off()
        node.machine.power_on()
        await asyncio.sleep(0.6)
        node.daemon.isolate(300)
        await asyncio.sleep(1)
        await node.call("ADD", "c1")
        assert node.addresses("c1") == [ADDRESS]
        assert node.rows() == {"c1": "port-1"}, "the row of before is swept"

    play(scene)


def test_a_claim_whose_receipt_was_given_is_not_wired_by_the_copy() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        await asyncio.sleep(2)
        await node.remove()
        await node.release()
        await node.gone()
        await node.restart(away_s=300)
        adding = asyncio.ensure_future(node.call("ADD", "c1"))
        await asyncio.sleep(60)
        assert not node.rows()
        adding.cancel()
        await asyncio.wait({adding})

    play(scene)


def test_the_receipt_waits_for_the_file() -> None:
    """A daemon that is killed between the two has not given the receipt."""

    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        await asyncio.sleep(2)
        await node.remove()
        await node.release()
        await node.world.quiet()

    effects = [str(line) for line in play(scene) if line.call is not None and line.call.effect is not None]
    receipt = next(n for n, line in enumerate(effects) if "patch" in line and line.count("kuryrports/web-0 ->"))
    assert "write the copy" in effects[receipt - 1], effects


# ADD that nobody needs (kuryr-kubernetes' bug 15), DEL that comes late or often (16, 17), a daemon that stops (18)


def test_an_add_ends_when_its_claim_is_being_deleted() -> None:
    async def scene(node: Node) -> None:
        await node.claim(finalizers=("test.example/keeps-it", "kuryr.openstack.org/sandbox"))
        await node.release()
        asked = node.world.now
        assert (await refused(node.call("ADD"))).code == 11
        assert node.world.now - asked < 2
        assert not node.rows()

    play(scene)


def test_an_add_ends_when_its_claim_begins_to_be_deleted_after_it_came() -> None:
    async def scene(node: Node) -> None:
        adding = asyncio.ensure_future(refused(node.call("ADD")))
        await asyncio.sleep(5)
        await node.claim(uid="uid-2")
        asked = node.world.now
        assert "another pod of that name" in str(await adding)
        assert node.world.now - asked < 4

    play(scene)


def test_the_pod_that_follows_another_of_its_name_gets_its_turn_without_being_refused() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        adding = asyncio.ensure_future(node.call("ADD", "c1", uid="uid-2"))
        await asyncio.sleep(1)
        await node.release()
        await asyncio.sleep(20)
        assert not adding.done(), "the one before is not gone yet"
        await node.remove()
        await node.gone()
        await node.claim(uid="uid-2", port=2)
        result = await adding
        assert result["ips"][0]["address"] == "10.1.0.6/16"

    play(scene)


def test_a_del_after_the_claim_is_gone_leaves_nothing() -> None:
    async def scene(node: Node) -> None:
        claim = await node.claim()
        await node.call("ADD")
        # by force, as users did in their need
        patch = k.MergePatch({"metadata": {"finalizers": []}})
        await node.world.client.patch(KuryrPort, "web-0", patch, namespace="default", uid=claim.metadata.uid)
        await node.release()
        assert node.seen() is None
        await node.remove()
        assert (node.taps(), node.rows()) == ([], {})

    play(scene)


def test_stale_dels_write_nothing_into_ovsdb() -> None:
    async def scene(node: Node) -> None:
        for number in range(40):
            await node.claim(f"web-{number}", uid=f"uid-{number}", port=number)
            await node.call("ADD", f"c{number}", pod=f"web-{number}", uid=f"uid-{number}")
        before = node.world.now
        for attempt in range(5):
            for number in range(40):
                await node.call("DEL", f"c{number}", pod=f"web-{number}", uid=f"uid-{number}")
            if attempt == 0:
                node.world.note(None, "stale from here")
        assert not node.rows()
        assert node.world.now - before < 30

    lines = [str(line) for line in play(scene)]
    (begin,) = (number for number, line in enumerate(lines) if "stale from here" in line)
    assert sum("OVSDB: mutate Bridge" in line for line in lines[:begin]) == 40
    assert not [line for line in lines[begin:] if "Bridge" in line or "select Port" in line]


def test_a_daemon_that_stops_in_the_middle_of_an_add_leaves_nothing() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        node.cloud.delete("port-1", "node1.example")  # so OVN waits
        adding = asyncio.ensure_future(refused(node.call("ADD")))
        await asyncio.sleep(5)
        assert node.rows() == {"c0": "port-1"}
        await node.world.stop("daemon")
        assert (await adding).code == 11
        assert (node.taps(), node.rows()) == ([], {})

    play(scene)


def test_an_add_that_was_cut_off_is_not_said_to_be_plugged() -> None:
    """Although OVN goes on and installs the flows."""

    async def scene(node: Node) -> None:
        await node.claim()
        node.cloud.delete("port-1", "node1.example")
        adding = asyncio.ensure_future(refused(node.call("ADD")))
        await asyncio.sleep(5)
        await node.restart()
        assert (await adding).code == 11
        await node.claim("other", uid="uid-2")  # makes the port again
        await node.world.quiet()
        claim = node.seen()
        assert claim is not None
        assert not claim.status.plugged
        assert node.rows() == {"c0": "port-1"}, "it lives: the runtime knows it and takes it away"
        await node.remove()
        assert (node.taps(), node.rows()) == ([], {})

    play(scene)


# What is left behind


def test_a_daemon_that_starts_takes_away_what_has_no_sandbox_and_touches_no_living_one() -> None:
    async def scene(node: Node) -> None:
        await node.claim("web-0", uid="uid-0", port=1)
        await node.claim("web-1", uid="uid-1", port=2)
        await node.call("ADD", "c0", pod="web-0", uid="uid-0")
        await node.call("ADD", "c1", pod="web-1", uid="uid-1")
        living = dict(node.machine.ovsdb.rows("Interface"))
        node.daemon.kill(restart_s=5)
        node.machine.namespaces.remove(netns_of("c1"))
        await asyncio.sleep(20)
        assert node.rows() == {"c0": "port-1"}
        left = node.machine.ovsdb.rows("Interface")
        assert {uuid: living[uuid] for uuid in left} == dict(left), "its row is as it was"

    play(scene)


def test_a_port_that_was_bound_to_another_neutron_port_is_put_right() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        (uuid,) = (
            uuid for uuid, row in node.machine.ovsdb.rows("Interface").items() if "iface-id" in row["external_ids"]
        )
        ids = dict(node.machine.ovsdb.rows("Interface")[uuid]["external_ids"])
        operation = {
            "op": "update",
            "table": "Interface",
            "where": [["_uuid", "==", ["uuid", uuid]]],
            "row": {"external_ids": ["map", [[key, value] for key, value in {**ids, "iface-id": "port-9"}.items()]]},
        }
        node.machine.ovsdb.transact(operation)
        assert node.rows() == {"c0": "port-9"}
        await node.restart()
        await asyncio.sleep(5)
        assert node.rows() == {"c0": "port-1"}

    play(scene)


def test_gc_removes_what_the_runtime_no_longer_knows() -> None:
    async def scene(node: Node) -> None:
        for number in range(3):
            await node.claim(f"web-{number}", uid=f"uid-{number}", port=number + 1)
            await node.call("ADD", f"c{number}", pod=f"web-{number}", uid=f"uid-{number}")
        await node.collect("c0", "c9")
        assert node.rows() == {"c0": "port-1"}
        assert len(node.taps()) == 1
        await node.release("web-1")
        await node.world.quiet()
        assert node.seen("web-1") is None, "its receipt is given"
        await node.collect()
        assert (node.taps(), node.rows()) == ([], {})

    play(scene)


def test_gc_spares_an_add_under_way() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        node.cloud.delete("port-1", "node1.example")
        adding = asyncio.ensure_future(node.call("ADD"))
        await asyncio.sleep(5)
        await node.collect()
        await node.claim("other", uid="uid-2")
        assert (await adding)["ips"]
        assert node.rows() == {"c0": "port-1"}

    play(scene)


def test_gc_without_a_list_removes_nothing() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        assert (await refused(node.call("GC"))).code == 7
        assert node.rows() == {"c0": "port-1"}

    play(scene)


# Who has the port


def test_of_two_claims_on_one_port_the_later_is_not_wired_and_says_so() -> None:
    async def scene(node: Node) -> None:
        await node.claim("early", uid="uid-1")
        await asyncio.sleep(2)
        await node.claim("late", uid="uid-2")
        assert (await refused(node.call("ADD", "c1", pod="late", uid="uid-2"))).code == 11
        await node.call("ADD", "c0", pod="early", uid="uid-1")
        await node.world.quiet()
        assert (conflict(node.seen("early")), conflict(node.seen("late"))) == (False, True)
        assert node.rows() == {"c0": "port-1"}
        await node.release("late")
        await node.world.quiet()
        assert node.seen("late") is None, "the other's sandbox is not its: it has its receipt"

    play(scene)


def test_the_claim_whose_sandbox_is_wired_keeps_the_port_though_it_is_later() -> None:
    async def scene(node: Node) -> None:
        await node.claim("late", uid="uid-2", finalizers=("kuryr.openstack.org/sandbox",))
        await node.call("ADD", "c1", pod="late", uid="uid-2")
        early = await node.claim("early", uid="uid-1")
        assert early.metadata.uid
        assert (await refused(node.call("ADD", "c0", pod="early", uid="uid-1"))).code == 11
        await node.world.quiet()
        assert (conflict(node.seen("early")), conflict(node.seen("late"))) == (True, False)
        assert node.rows() == {"c1": "port-1"}

    play(scene)


def test_a_port_that_a_sandbox_without_a_claim_has_is_a_conflict_too() -> None:
    async def scene(node: Node) -> None:
        claim = await node.claim("before", uid="uid-0")
        await node.call("ADD", "c0", pod="before", uid="uid-0")
        patch = k.MergePatch({"metadata": {"finalizers": []}})
        await node.world.client.patch(KuryrPort, "before", patch, namespace="default", uid=claim.metadata.uid)
        await node.release("before")
        await node.claim("after", uid="uid-1")
        assert (await refused(node.call("ADD", "c1", pod="after", uid="uid-1"))).code == 11
        await node.world.quiet()
        assert conflict(node.seen("after"))

    play(scene)


# Quarantine


def test_an_entry_of_the_quarantine_goes_when_nothing_of_its_port_is_wired() -> None:
    async def scene(node: Node) -> None:
        pool = await node.pool()
        claim = await node.claim()
        await node.call("ADD")
        entries = (
            QuarantinedPort(port_id="port-1", claim_uid=claim.metadata.uid, pod_uid="uid-1"),
            QuarantinedPort(port_id="port-7", claim_uid="claim-7", pod_uid="uid-7"),
        )
        status = {"quarantine": msgspec.to_builtins(entries), "inUse": 1}
        await node.world.client.patch(
            KuryrPortPool, "pool", k.MergePatch({"status": status}), subresource="status", uid=pool.metadata.uid
        )
        await node.world.quiet()
        seen = node.world.get(KuryrPortPool, "pool")
        assert seen is not None
        assert [one.port_id for one in seen.status.quarantine] == ["port-1"], "the other is wired nowhere"
        assert seen.status.in_use == 1
        await node.remove()
        await node.world.quiet()
        seen = node.world.get(KuryrPortPool, "pool")
        assert seen is not None
        assert not seen.status.quarantine

    play(scene)


def test_a_claim_whose_entry_was_taken_away_is_not_wired_any_more_though_the_store_shows_it_as_living() -> None:
    """The port may be another pod's by now. Nor may a daemon that is started again find it in its file."""

    async def scene(node: Node) -> None:
        pool = await node.pool()
        claim = await node.claim()
        await asyncio.sleep(2)
        assert claim.metadata.uid.encode() in (node.machine.disk.content or b"")
        entry = QuarantinedPort(port_id="port-1", claim_uid=claim.metadata.uid, pod_uid="uid-1")
        patch = k.MergePatch({"status": {"quarantine": [msgspec.to_builtins(entry)]}})
        await node.world.client.patch(KuryrPortPool, "pool", patch, subresource="status", uid=pool.metadata.uid)
        await node.world.quiet()
        seen = node.world.get(KuryrPortPool, "pool")
        assert seen is not None
        assert not seen.status.quarantine
        assert (await refused(node.call("ADD"))).code == 11
        assert not node.rows()
        await node.claim("web-1", uid="uid-2")  # its new owner
        await node.call("ADD", "c1", pod="web-1", uid="uid-2")
        await asyncio.sleep(2)
        assert not conflict(node.seen("web-1"))
        content = node.machine.disk.content or b""
        assert (b"uid-2" in content, claim.metadata.uid.encode() in content) == (True, False)

    play(scene)


# Commands that are cut off


def test_a_del_whose_plug_in_is_killed_gives_the_receipt_nevertheless() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        await node.call("ADD")
        await node.release()
        await node.world.quiet()  # it waits for the DEL
        deleting = asyncio.ensure_future(node.call("DEL"))
        while node.rows():  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.0001)
        assert not deleting.done()
        deleting.cancel()
        await asyncio.sleep(20)
        assert node.seen() is None

    play(scene)


def test_a_gc_that_does_not_come_to_its_end_gives_the_receipts_of_what_it_removed() -> None:
    async def scene(node: Node) -> None:
        for number in range(3):
            await node.claim(f"web-{number}", uid=f"uid-{number}", port=number + 1)
            await node.call("ADD", f"c{number}", pod=f"web-{number}", uid=f"uid-{number}")
            await node.release(f"web-{number}")
        collecting = asyncio.ensure_future(node.collect())
        while len(node.rows()) > 2:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.0001)
        collecting.cancel()
        await asyncio.sleep(20)
        assert {f"web-{number}" for number in range(3) if node.seen(f"web-{number}")} == {
            f"web-{one[1:]}" for one in node.rows()
        }
        assert node.rows()

    play(scene)


def test_a_second_daemon_does_nothing_while_the_first_has_the_socket() -> None:
    """It knows nothing of the ADDs that run there: a receipt of its would be for nothing."""

    async def scene(node: Node) -> None:
        async def second(process: Process) -> None:
            gate = local_gate(process)

            async def slow(what: str, act: Callable[[], T], *, changes: bool = True) -> T:
                await asyncio.sleep(60 if what == "disk: read the copy" else 0)
                return await gate(what, act, changes=changes)

            configuration = Configuration(daemon=Daemon(node="node1", http=""))
            async with node.machine.host(slow, over=process.over) as host:
                await run_node(configuration, process, host)

        node.world.start("second", second)
        await asyncio.sleep(1)
        await node.claim()
        await node.call("ADD")
        await node.remove()
        await node.release()
        await asyncio.sleep(30)
        assert node.seen() is None

    lines = [line for line in play(scene) if line.process.startswith("second")]
    assert lines
    assert not [line for line in lines if line.call is not None and line.call.effect is not None]


# The node


def test_a_node_that_registers_anew_gets_a_new_kuryrnode() -> None:
    async def scene(node: Node) -> None:
        await node.world.quiet()
        first = node.world.get(KuryrNode, "node1")
        assert first is not None
        await node.world.client.delete(k.Node, "node1")
        again = await node.world.client.create(k.Node(metadata=k.ObjectMeta(name="node1")))
        await asyncio.sleep(120)
        second = node.world.get(KuryrNode, "node1")
        assert second is not None
        assert second.metadata.uid != first.metadata.uid
        assert second.spec.node_uid == again.metadata.uid
        assert second.status.host_id == "node1.example"

    play(scene)


# STATUS and CHECK


def test_status_fails_for_ovn_controller_and_not_for_the_api_server() -> None:
    async def scene(node: Node) -> None:
        node.daemon.isolate(300)
        await node.call("STATUS")
        node.machine.chassis.stop()
        assert (await refused(node.call("STATUS"))).code == 51
        node.machine.chassis.start()
        await node.call("STATUS")

    play(scene)


def test_check_cannot_tell_while_ovsdb_is_away() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        config = {"prevResult": await node.call("ADD")}
        node.machine.ovsdb.stop()
        await asyncio.sleep(20)
        assert (await refused(node.call("CHECK", config=config))).code == 11
        node.machine.ovsdb.start()
        await asyncio.sleep(5)
        await node.call("CHECK", config=config)

    play(scene)


def test_check_passes_after_add_and_names_what_differs_then() -> None:
    async def scene(node: Node) -> None:
        await node.claim()
        result = await node.call("ADD")
        config = {"prevResult": result}
        await node.call("CHECK", config=config)
        netns = node.machine.namespaces.enter(netns_of("c0"))
        netns.devices["eth0"].mtu = 1500
        netns.addresses.clear()
        failed = await refused(node.call("CHECK", config=config))
        assert failed.code == 102

    play(scene)
