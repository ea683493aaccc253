"""The simulated API server, as the suite sees it."""

from kubeloop.client.transport import Request, Response
from kubeloop.simulator import SimulatedCluster, SimulatedTransport


class Simulator:
    name = "simulator"

    def __init__(self) -> None:
        self._cluster = SimulatedCluster()

    def transport(self) -> SimulatedTransport:
        return self._cluster.transport(user_agent="contract/1")

    async def exchange(self, request: Request) -> Response:
        return self._cluster.server.handle(request, user_agent="contract/1")

    async def compact(self) -> None:
        self._cluster.storage.compact()
        self._cluster.server.restart()
