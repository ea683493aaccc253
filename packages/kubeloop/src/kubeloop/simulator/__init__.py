"""A simulated API server: what kubeloop's contract suite asks of kube-apiserver, in one process.

`SimulatedCluster` is the whole of it for a test: `open_runtime` and `connect` take one where they take a
`ClusterConfig`.
"""

from kubeloop.simulator.server import ApiServer, is_watch
from kubeloop.simulator.storage import Change, Storage
from kubeloop.simulator.transport import SimulatedCluster, SimulatedTransport
from kubeloop.simulator.watches import StreamBroken, WatchStream

__all__ = [
    "ApiServer",
    "Change",
    "SimulatedCluster",
    "SimulatedTransport",
    "Storage",
    "StreamBroken",
    "WatchStream",
    "is_watch",
]
