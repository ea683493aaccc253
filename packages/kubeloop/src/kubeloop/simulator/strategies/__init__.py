"""What is special about single kinds, where the registry is generic. The real server calls these strategies."""

from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.strategies.base import Strategy
from kubeloop.simulator.strategies.cluster import Definitions, Namespaces, Nodes
from kubeloop.simulator.strategies.config import (
    ConfigMaps,
    EndpointSlices,
    Events,
    NetworkPolicies,
    RoleBindings,
    Secrets,
)
from kubeloop.simulator.strategies.custom import Custom
from kubeloop.simulator.strategies.pods import Pods
from kubeloop.simulator.strategies.services import Services
from kubeloop.simulator.strategies.workloads import (
    CronJobs,
    DaemonSets,
    Deployments,
    Jobs,
    PodTemplates,
    ReplicaSets,
    ReplicationControllers,
    StatefulSets,
)

_CUSTOM = Custom()
_GENERIC = Strategy()
_WEBHOOKS = Strategy(counted="webhooks")
_PENDING = Strategy(first_status={"phase": "Pending"})
_SPECIAL: dict[str, Strategy] = {
    "clusterrolebindings.rbac.authorization.k8s.io": RoleBindings(),
    "configmaps": ConfigMaps(),
    "cronjobs.batch": CronJobs(first_status={}),
    "customresourcedefinitions.apiextensions.k8s.io": Definitions(),
    "daemonsets.apps": DaemonSets(
        first_status={
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }
    ),
    "deployments.apps": Deployments(first_status={}),
    "endpointslices.discovery.k8s.io": EndpointSlices(),
    "events.events.k8s.io": Events(),
    "ingresses.networking.k8s.io": Strategy(first_status={"loadBalancer": {}}),
    "jobs.batch": Jobs(first_status={}, propagation="Orphan"),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "namespaces": Namespaces(),
    "networkpolicies.networking.k8s.io": NetworkPolicies(),
    "nodes": Nodes(
        first_status={
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": dict.fromkeys(
                (
                    "machineID",
                    "systemUUID",
                    "bootID",
                    "kernelVersion",
                    "osImage",
                    "containerRuntimeVersion",
                    "kubeletVersion",
                    "kubeProxyVersion",
                    "operatingSystem",
                    "architecture",
                ),
                "",
            ),
        }
    ),
    "persistentvolumeclaims": _PENDING,
    "persistentvolumes": _PENDING,
    "poddisruptionbudgets.policy": Strategy(
        first_status={"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    ),
    "pods": Pods(),
    "podtemplates": PodTemplates(counted="template"),
    "replicasets.apps": ReplicaSets(first_status={"replicas": 0}),
    "replicationcontrollers": ReplicationControllers(first_status={"replicas": 0}, propagation="Orphan"),
    "resourcequotas": Strategy(first_status={}),
    "rolebindings.rbac.authorization.k8s.io": RoleBindings(),
    "secrets": Secrets(),
    "services": Services(first_status={"loadBalancer": {}}),
    "statefulsets.apps": StatefulSets(first_status={"replicas": 0, "availableReplicas": 0}),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
}


def strategy_of(kind: Kind) -> Strategy:
    return _CUSTOM if kind.custom else _SPECIAL.get(kind.resource, _GENERIC)
