"""A sample: a Fleet keeps Workers, numbered as a StatefulSet's pods are, and rolls a new image out one at a time: while
it was whole, at most one of its workers is not ready. Its status says for which generation it speaks.

A delete that was given up may still take effect, long after: it would be the second, were another worker deleted
meanwhile. So the status says which worker leaves before it is deleted, and no other leaves before it is gone.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

import kubeloop as k

LABEL = "fleets.example.dev/fleet"


class WorkerSpec(k.KubeStruct, frozen=True, kw_only=True):
    image: str


class WorkerStatus(k.KubeStruct, frozen=True, kw_only=True):
    ready: bool = False


class Worker(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("fleets.example.dev", "v1", "workers", "Worker")

    spec: WorkerSpec
    status: WorkerStatus = WorkerStatus()


class FleetSpec(k.KubeStruct, frozen=True, kw_only=True):
    size: int
    image: str


class FleetStatus(k.KubeStruct, frozen=True, kw_only=True):
    ready: int = 0
    leaving: str = ""  # a worker's UID
    observed_generation: int = 0
    conditions: tuple[k.Condition, ...] = ()


class Fleet(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("fleets.example.dev", "v1", "fleets", "Fleet")

    spec: FleetSpec
    status: FleetStatus = FleetStatus()


@dataclass(frozen=True, slots=True)
class Step:
    verb: Literal["create", "delete"]
    worker: Worker


def desire_worker(fleet: Fleet, number: int) -> Worker:
    meta = fleet.metadata
    return Worker(
        metadata=k.ObjectMeta(
            name=f"{meta.name}-{number}",
            namespace=meta.namespace,
            labels={LABEL: meta.name},
            owner_references=(fleet.owner_reference(controller=True),),
        ),
        spec=WorkerSpec(image=fleet.spec.image),
    )


def owned(fleet: Fleet, workers: Iterable[Worker]) -> list[Worker]:
    """Those whose controller is this very fleet, not one of its name."""
    uid = fleet.metadata.uid
    return [one for one in workers if any(ref.controller and ref.uid == uid for ref in one.metadata.owner_references)]


def plan(fleet: Fleet, workers: list[Worker]) -> Step | None:
    """What to do next, one step at a time: pure. What leaves goes on leaving, whatever is wanted by now."""
    leaving = [one for one in workers if one.metadata.uid == fleet.status.leaving]
    if leaving:
        return Step("delete", leaving[0])
    desired = {
        worker.metadata.name: worker for number in range(fleet.spec.size) for worker in [desire_worker(fleet, number)]
    }
    present = {one.metadata.name: one for one in workers}
    for name, worker in desired.items():
        if name not in present:
            return Step("create", worker)
    for name in sorted(present.keys() - desired.keys()):
        return Step("delete", present[name])
    outdated = [one for one in workers if one.spec.image != fleet.spec.image]
    idle = [one for one in outdated if not one.status.ready]  # costs nothing
    if idle or (outdated and all(one.status.ready for one in workers)):
        return Step("delete", min(idle or outdated, key=lambda one: one.metadata.name))
    return None


def desire_status(fleet: Fleet, workers: list[Worker], step: Step | None) -> FleetStatus:
    """What to say before the step is taken, and of which generation."""
    generation = fleet.metadata.generation
    ready = sum(one.spec.image == fleet.spec.image and one.status.ready for one in workers)
    leaving = step.worker.metadata.uid if step is not None and step.verb == "delete" else ""
    whole = not leaving and ready == len(workers) == fleet.spec.size
    reason = "AllReady" if whole else "Progressing"
    said = k.condition("Ready", whole, reason=reason, observed_generation=generation)
    conditions = k.set_condition(fleet.status.conditions, said, datetime.now(UTC))
    return FleetStatus(ready=ready, leaving=leaving, observed_generation=generation, conditions=conditions)


class Fleets:
    """One reconcile function and its steps."""

    def __init__(self, client: k.Client, fleets: k.Store[Fleet], workers: k.Store[Worker]) -> None:
        self.client = client
        self.fleets = fleets
        self.workers = workers

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        """The stores say whether there is anything to do; what to do is decided on what the server says now, for the
        watches of two kinds may show two different moments.
        """
        fleet = self.fleets.get(key)
        if fleet is None or fleet.metadata.deleting:
            return k.DONE  # the garbage collector takes the workers
        workers = self.owned(fleet, self.workers.by_index("fleet", str(key)))
        if plan(fleet, workers) is None and desire_status(fleet, workers, None) == fleet.status:
            return k.DONE
        fleet, workers = await self.look(fleet)
        step = plan(fleet, workers)
        await self.report(fleet, workers, step)
        if step is not None:
            await self.do(step)
        return k.DONE

    async def look(self, fleet: Fleet) -> tuple[Fleet, list[Worker]]:
        meta = fleet.metadata
        live = await self.client.get(Fleet, meta.name, namespace=meta.namespace)
        if live.metadata.uid != meta.uid or live.metadata.deleting:
            raise k.Retry("the fleet is another one by now")
        page = await self.client.list_all(Worker, namespace=meta.namespace, label_selector=f"{LABEL}={meta.name}")
        return live, self.owned(live, page.items)

    def owned(self, fleet: Fleet, workers: Iterable[Worker]) -> list[Worker]:
        return owned(fleet, workers)

    async def do(self, step: Step) -> None:
        meta = step.worker.metadata
        if step.verb == "delete":
            await self.delete(step.worker)
            return
        try:
            await self.client.create(step.worker)
        except k.AlreadyExists as error:
            raise k.Retry(f"{meta.name} is there: not seen yet, or another's") from error

    async def delete(self, worker: Worker) -> None:
        meta = worker.metadata
        with contextlib.suppress(k.NotFound):
            await self.client.delete(Worker, meta.name, namespace=meta.namespace, uid=meta.uid)

    async def report(self, fleet: Fleet, workers: list[Worker], step: Step | None) -> None:
        """Only on the state that was looked at: otherwise `Conflict`, and the next reconcile looks again."""
        status, meta = desire_status(fleet, workers, step), fleet.metadata
        if status == fleet.status:
            return
        body = {
            "ready": status.ready,
            "leaving": status.leaving or None,
            "observedGeneration": status.observed_generation,
        }
        body |= k.conditions_patch(fleet.status.conditions, status.conditions).get("status", {})
        await self.client.patch(
            Fleet,
            meta.name,
            k.MergePatch({"status": body}),
            namespace=meta.namespace,
            subresource="status",
            resource_version=meta.resource_version,
        )


async def run(cluster: k.ClusterConfig | k.Cluster, fleets: type[Fleets] = Fleets) -> None:
    async with k.open_runtime(cluster, name="fleets", lease=k.LeaseName("default", "fleets")) as runtime:
        informer = runtime.informer(Fleet)
        workers = runtime.informer(
            Worker, indexers={"fleet": lambda one: (f"{one.metadata.namespace}/{one.metadata.labels.get(LABEL, '')}",)}
        )
        controller = runtime.controller("fleets", fleets(runtime.client, informer.store, workers.store).reconcile)
        controller.for_(informer).owns(workers, Fleet)
        await runtime.run()
