"""All scenarios of the whole system, for `make sim` and for the tests: small ones, so that each can be run once for
every effect in it.

Of the bugs of kuryr-kubernetes that are races (by their numbers in our list of them), each is played here:

| bug | scenario |
|---|---|
| 4 a burst of events acted on an old copy: two ports | burst-of-events |
| 5 a conflict lost a write, or was patched for ever | conflicting-writes; and 409s by chance in all |
| 6 what is already deleting at a restart comes as ADDED | deleting-at-restart |
| 7 a retried create ran after the delete | made-and-deleted-at-once; and late effects by chance in all |
| 8 an object vanishes between a finalizer's conflict and the next read | finalizer-vanishes |
| 9 a create in a terminating namespace | namespace-goes |
| 13 a missed delete and a new one of the name: stale address | recreated-while-controllers-are-away |
| 14 StatefulSets; static pods have another UID | stateful-pod, forced-and-made-again; static-pod |
| 15 a pod deleted before its KuryrPort: ADD hung | deleted-before-its-claim |
| 16 DELETED comes before DEL: taps leaked | forced-and-made-again, forced-on-a-silent-node |
| 17 stale DELs | late-del; and kubelets repeat DEL in all |
| 18 the daemon stopped in the middle of ADD: OVS ports leaked | daemon-upgraded; and kills at each effect in all |
| 19 VLAN ids in use after a restart, or while a namespace goes slowly | no VLANs here: what is in use are devices and
  ports of the attempt before: sandbox-dies, node-reboots, claim-deleted-by-hand |
| 20 VLAN ids leaked by a half-failed bulk | no VLANs here: what may leak are ports of a create that half failed:
  neutron-answers-late, quota-zero, host-unknown-to-neutron |
"""

from types import ModuleType

from kubeloop.testing import Scenario

from . import clouds, nodes, pods, sweeping_scenarios


def _of(module: ModuleType) -> dict[str, Scenario]:
    return {one.name: one for one in vars(module).values() if isinstance(one, Scenario)}


ALL = {**_of(pods), **_of(nodes), **_of(clouds)}
SWEEPING = _of(sweeping_scenarios)
