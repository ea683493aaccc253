"""The columns of the built-in kinds: what `kubectl get` shows of them, cell for cell as kube-apiserver 1.37 has it.

A kind that has none of its own here is shown by name and age.
"""

from collections.abc import Mapping

from kubeloop.simulator.columns import cluster, events, network, workloads
from kubeloop.simulator.columns.column import AGE as AGE
from kubeloop.simulator.columns.column import BY_AGE as BY_AGE
from kubeloop.simulator.columns.column import NAME as NAME
from kubeloop.simulator.columns.column import Column as Column
from kubeloop.simulator.columns.workloads import SCALE as SCALE

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    **events.COLUMNS,
    **network.COLUMNS,
    **cluster.COLUMNS,
    **workloads.COLUMNS,
}
"""By resource, with its group where it has one."""
