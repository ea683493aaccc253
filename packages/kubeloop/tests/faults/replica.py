"""A replica of a small controller: who leads writes a ConfigMap, again and again. Run by the test of a paused leader.

Arguments: a kubeconfig and the replica's name. Ends with 1 when leadership is lost.
"""

import asyncio
import sys
from typing import ClassVar

from kubeloop.client.client import Client, MergePatch, connect
from kubeloop.client.kubeconfig import load_config
from kubeloop.client.transport import HttpTransport
from kubeloop.controller.controller import Controller, Result
from kubeloop.informer.informer import Informer
from kubeloop.leader import LeaderElection, LeadershipLost
from kubeloop.model.base import KubeObject, ObjectKey, Resource


class ConfigMap(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "configmaps", "ConfigMap")

    data: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it


async def main(kubeconfig: str, name: str) -> int:
    config = load_config(kubeconfig)
    async with connect(config, user_agent=f"lease-{name}/1") as leases:
        election = LeaderElection(leases, namespace="kube-system", name="replicas", identity=name)
        async with HttpTransport(config, user_agent=f"replica-{name}/1", fence=election) as transport:
            client = Client(transport)
            informer = Informer(client, ConfigMap, namespace="default", field_selector="metadata.name=counter")

            async def reconcile(key: ObjectKey) -> Result:
                counter = informer.store.get(key)
                if counter is not None:
                    change = {"writer": name, "count": str(int(counter.data.get("count", "0")) + 1)}
                    await client.patch(ConfigMap, "counter", MergePatch({"data": change}), namespace="default")
                return Result(requeue_after_s=0.05)

            lost = False
            controller = Controller("counter", reconcile).watches(informer, lambda obj: (obj.key,))
            try:
                async with asyncio.TaskGroup() as tasks:
                    following = tasks.create_task(informer.run())
                    await election.run(controller.run)
                    following.cancel()
            except* LeadershipLost:
                lost = True
    return int(lost)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2])))
