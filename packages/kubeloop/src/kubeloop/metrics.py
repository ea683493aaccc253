"""Metrics, under controller-runtime's and client-go's names where they have one, so that their dashboards work.

One `Metrics` is one registry: no global state, so two runtimes in one process (and every test) count apart. Whoever has
a hot path asks for its labelled child once, in its constructor: `labels()` is a lock and a lookup, `inc()` is not.
Names: https://book.kubebuilder.io/reference/metrics-reference
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_QUEUE_SECONDS = (0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000)


class Metrics:
    """Every metric of kubeloop. Times are in seconds."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Registers in `registry`, a new one by default; a registry takes one `Metrics`, as names are unique in it."""
        self.registry = registry if registry is not None else CollectorRegistry()
        counter, gauge, histogram = self._counter, self._gauge, self._histogram

        self.requests = counter(
            "rest_client_requests", "API requests by answer; code <error> for none", "code", "method", "resource"
        )
        self.request_seconds = histogram("rest_client_request_duration_seconds", "API requests' time", "method")

        self.queue_depth = gauge("workqueue_depth", "Keys ready to be worked on", "name", "priority")
        self.queue_adds = counter("workqueue_adds", "Adds, also of keys that wait already", "name")
        self.queue_seconds = histogram(
            "workqueue_queue_duration_seconds", "From ready to taken", "name", buckets=_QUEUE_SECONDS
        )
        self.work_seconds = histogram(
            "workqueue_work_duration_seconds", "From taken to done", "name", buckets=_QUEUE_SECONDS
        )
        self.unfinished_seconds = gauge("workqueue_unfinished_work_seconds", "Sum over the keys in work", "name")
        self.longest_seconds = gauge(
            "workqueue_longest_running_processor_seconds", "The longest of the keys in work", "name"
        )
        self.queue_retries = counter("workqueue_retries", "Adds after a failure", "name")

        self.reconciles = counter("controller_runtime_reconcile", "Reconciles by result", "controller", "result")
        self.reconcile_errors = counter("controller_runtime_reconcile_errors", "Failed reconciles", "controller")
        self.terminal_errors = counter(
            "controller_runtime_terminal_reconcile_errors", "Failures that are not tried again", "controller"
        )
        self.reconcile_seconds = histogram(
            "controller_runtime_reconcile_time_seconds", "Reconciles' time", "controller"
        )
        self.max_workers = gauge("controller_runtime_max_concurrent_reconciles", "Workers", "controller")
        self.active_workers = gauge("controller_runtime_active_workers", "Workers that reconcile", "controller")

        self.store_objects = gauge("kubeloop_store_objects", "Objects in an informer's store", "kind")
        self.store_age = gauge(
            "kubeloop_store_age_seconds", "Since the server last said anything of the collection", "kind"
        )
        self.undecodable = gauge("kubeloop_undecodable_objects", "Objects that do not decode", "kind")
        self.relists = counter("kubeloop_relists", "Full lists, the first included, by reason", "kind", "reason")
        self.events_dropped = counter("kubeloop_events_dropped", "Events not sent, by reason", "reason")
        self.leader = gauge("leader_election_master_status", "1 while this process leads", "name")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)
