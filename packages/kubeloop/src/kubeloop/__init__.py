"""The Kubernetes controller pattern for asyncio. Everything that a controller needs is exported here; what is not is
ours to change. README.md has the tour, docs/designs/0004 the reasons.
"""

from kubeloop.client import errors
from kubeloop.client.back_off import BackOff
from kubeloop.client.client import Client, WatchEvent, connect
from kubeloop.client.config import ClusterConfig, Impersonation
from kubeloop.client.definitions import DefinitionRefused, ensure_definitions
from kubeloop.client.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    ConfigError,
    Conflict,
    DecodeError,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    NotLeader,
    Throttled,
    Unauthorized,
    Unavailable,
)
from kubeloop.client.fence import Fence
from kubeloop.client.kubeconfig import in_cluster_config, load_config
from kubeloop.client.patches import ApplyPatch, JsonPatch, MergePatch
from kubeloop.client.transport import Cluster, HttpTransport, Request, Response, Transport
from kubeloop.controller import predicates
from kubeloop.controller.controller import DONE, Controller, Result, Retry, Terminal
from kubeloop.controller.finalizers import add_finalizer, remove_finalizer
from kubeloop.controller.work_queue import Priority, QueueClosed, RetryLimit, WorkQueue
from kubeloop.events import EventRecorder, ObjectReference
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change, Indexer, Store
from kubeloop.leader import LeaderElection, LeadershipLost
from kubeloop.logs import set_up_logging
from kubeloop.metrics import Metrics
from kubeloop.model import markers
from kubeloop.model.base import Condition, KubeObject, KubeStruct, ObjectKey, ObjectMeta, OwnerReference, Resource
from kubeloop.model.codec import ListPage, Undecodable
from kubeloop.model.conditions import (
    condition,
    conditions_patch,
    find_condition,
    is_true,
    remove_condition,
    set_condition,
)
from kubeloop.model.core import ConfigMap, Namespace, Node, Pod, PodSpec, PodStatus
from kubeloop.model.crd import PrinterColumn, Scale, crd_yaml, custom_resource_definition
from kubeloop.runtime import LeaseName, Part, Runtime, open_runtime, until_signalled
from kubeloop.serving import Serving, ServingError
from kubeloop.tracing import OpenTelemetryTracer, Span, Tracer, span

__all__ = [
    "DONE",
    "AlreadyExists",
    "ApiError",
    "ApplyPatch",
    "BackOff",
    "BadRequest",
    "Change",
    "Client",
    "Cluster",
    "ClusterConfig",
    "Condition",
    "ConfigError",
    "ConfigMap",
    "Conflict",
    "Controller",
    "DecodeError",
    "DefinitionRefused",
    "EventRecorder",
    "Fence",
    "Forbidden",
    "Gone",
    "HttpTransport",
    "Impersonation",
    "Indexer",
    "Informer",
    "Invalid",
    "JsonPatch",
    "KubeObject",
    "KubeStruct",
    "LeaderElection",
    "LeadershipLost",
    "LeaseName",
    "ListPage",
    "MergePatch",
    "Metrics",
    "Namespace",
    "Node",
    "NotFound",
    "NotLeader",
    "ObjectKey",
    "ObjectMeta",
    "ObjectReference",
    "OpenTelemetryTracer",
    "OwnerReference",
    "Part",
    "Pod",
    "PodSpec",
    "PodStatus",
    "PrinterColumn",
    "Priority",
    "QueueClosed",
    "Request",
    "Resource",
    "Response",
    "Result",
    "Retry",
    "RetryLimit",
    "Runtime",
    "Scale",
    "Serving",
    "ServingError",
    "Span",
    "Store",
    "Terminal",
    "Throttled",
    "Tracer",
    "Transport",
    "Unauthorized",
    "Unavailable",
    "Undecodable",
    "WatchEvent",
    "WorkQueue",
    "add_finalizer",
    "condition",
    "conditions_patch",
    "connect",
    "crd_yaml",
    "custom_resource_definition",
    "ensure_definitions",
    "errors",
    "find_condition",
    "in_cluster_config",
    "is_true",
    "load_config",
    "markers",
    "open_runtime",
    "predicates",
    "remove_condition",
    "remove_finalizer",
    "set_condition",
    "set_up_logging",
    "span",
    "until_signalled",
]
