"""Strategic merge patches of a Deployment, beside the real server; and what each directive does, alone."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeloop.simulator.built_in import topology_of
from kubeloop.simulator.kinds import BUILT_IN
from kubeloop.simulator.refusals import Refusal
from kubeloop.simulator.strategic_merge import strategic_merge_patched

from .real_server import RealServer

Body = dict[str, Any]

PATH = "/apis/apps/v1/namespaces/default/deployments"
STRATEGIC = "application/strategic-merge-patch+json"
TOPOLOGY = topology_of(next(kind for kind in BUILT_IN if kind.kind == "Deployment"))
NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2", "3"])


def deployment(pod: Body, **spec: Any) -> Body:
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "finalizers": ["a.b/one", "a.b/two"], "annotations": {"a": "1"}},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


ENV = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
PORTS = [{"containerPort": 80, "name": "web"}, {"containerPort": 81}]
POD: Body = {
    "containers": [
        {"name": "a", "image": "1", "env": ENV, "ports": PORTS, "args": ["x", "y"]},
        {"name": "b", "image": "1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    ],
    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "w"}}],
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "nodeSelector": {"a": "1", "b": "2"},
}
OLD = deployment(POD, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})


def listed(item: st.SearchStrategy[Body], key: str, keys: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Body]]:
    """Items to merge, and such as say that another goes or that all are replaced."""
    gone = keys.map(lambda name: {"$patch": "delete", key: name})
    return st.lists(
        item | item | gone | st.just({"$patch": "replace"}), max_size=3, unique_by=lambda one: str(one.get(key))
    )


MAPS = st.dictionaries(NAMES, VALUES | st.none(), max_size=2)
ENVS = listed(st.fixed_dictionaries({"name": NAMES}, optional={"value": VALUES | st.none()}), "name", NAMES)
NUMBERS = st.sampled_from([80, 81, 82])
PORT_LISTS = listed(
    st.fixed_dictionaries({"containerPort": NUMBERS}, optional={"hostPort": NUMBERS}), "containerPort", NUMBERS
)
CONTAINERS = listed(
    st.fixed_dictionaries(
        {"name": NAMES, "image": VALUES},
        optional={"env": ENVS, "ports": PORT_LISTS, "args": st.lists(VALUES, max_size=2) | st.none()},
    ),
    "name",
    NAMES,
)
VOLUMES = st.lists(
    st.sampled_from(
        [
            {"name": "v", "emptyDir": None, "configMap": {"name": "x"}},
            {"name": "w", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}},
            {"name": "u", "emptyDir": {}},
            {"name": "v", "$retainKeys": ["name"], "emptyDir": {}},
        ]
    ),
    max_size=2,
    unique_by=lambda one: one["name"],
)
ORDERS = st.permutations(["a", "b", "c"]).map(lambda names: [{"name": name} for name in names])
FINALIZERS = st.sampled_from(
    [
        {"finalizers": ["a.b/three"]},
        {"finalizers": ["a.b/two"], "$setElementOrder/finalizers": ["a.b/two", "a.b/one"]},
        {"$deleteFromPrimitiveList/finalizers": ["a.b/one"]},
        {"finalizers": ["a.b/three"], "$deleteFromPrimitiveList/finalizers": ["a.b/two"]},
        {"$setElementOrder/finalizers": ["a.b/two", "a.b/one"]},
        {"finalizers": None},
        {},
    ]
)
STRATEGIES = st.sampled_from(
    [
        {"$retainKeys": ["type"], "type": "Recreate"},
        {"type": "Recreate", "rollingUpdate": None},
        {"rollingUpdate": {"maxSurge": 2}},
        {"$patch": "replace", "type": "Recreate"},
    ]
)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "containers": CONTAINERS,
        "$setElementOrder/containers": ORDERS,
        "volumes": VOLUMES,
        "tolerations": st.just([{"key": "b", "operator": "Exists"}]),
        "nodeSelector": MAPS | MAPS.map(lambda one: {**one, "$patch": "replace"}) | st.just({"$patch": "delete"}),
    },
)
PATCHES = st.builds(
    lambda meta, annotations, spec, pod: {
        "metadata": {**meta, "annotations": annotations},
        "spec": {**spec, "template": {"spec": pod}},
    },
    FINALIZERS,
    MAPS,
    st.fixed_dictionaries({}, optional={"strategy": STRATEGIES, "replicas": st.just(2)}),
    PODS,
)


@pytest.fixture(scope="module")
def old(real: RealServer) -> Body:
    """As the real server stores it, defaults and all."""
    status, made, _ = real.call("POST", PATH, OLD)
    assert status == 201, made
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(patch=PATCHES)
def test_a_strategic_merge_patch_ends_as_on_the_real_server(real: RealServer, old: Body, patch: Body) -> None:
    status, theirs, _ = real.call("PATCH", f"{PATH}/x?dryRun=All&fieldValidation=Ignore", patch, STRATEGIC)
    try:
        merged = strategic_merge_patched(old, patch, TOPOLOGY)
    except Refusal:
        assert status in (400, 500), theirs  # of several malformed directives it names any
        return
    put, ours, _ = real.call("PUT", f"{PATH}/x?dryRun=All&fieldValidation=Ignore", merged)
    assert (put, _said(ours)) == (status, _said(theirs))


def _said(body: Body) -> Any:
    if body["kind"] == "Status":
        return body.get("reason", ""), sorted(
            (one["reason"], one["field"]) for one in body["details"].get("causes", ())
        )
    return body["spec"], body["metadata"].get("annotations"), body["metadata"].get("finalizers")


def test_the_old_body_stays_as_it_is() -> None:
    before = repr(OLD)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "2"}]}}}}
    merged = strategic_merge_patched(OLD, patch, TOPOLOGY)
    assert merged["spec"]["template"]["spec"]["containers"][0]["image"] == "2"
    assert repr(OLD) == before
