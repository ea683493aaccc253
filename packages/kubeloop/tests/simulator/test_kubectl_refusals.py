"""What the simulator does not do, and how kubectl says so: never a wrong answer."""

from .kubectl import Kubectl

UNKNOWN = "the simulated API server does not know"


def test_nobody_enters_a_container(simulated_kubectl: Kubectl) -> None:
    simulated_kubectl.run("run", "a", "--image=image:1")
    running = '{"status":{"phase":"Running"}}'
    simulated_kubectl.run("patch", "pod", "a", "--subresource=status", "--type=merge", "-p", running)
    assert UNKNOWN in simulated_kubectl.refusal("logs", "a")
    assert UNKNOWN in simulated_kubectl.refusal("exec", "a", "--", "ls")
    assert UNKNOWN in simulated_kubectl.refusal("attach", "a")
    assert UNKNOWN in simulated_kubectl.refusal("port-forward", "a", "8080:80")
    assert UNKNOWN in simulated_kubectl.refusal("get", "--raw", "/api/v1/namespaces/default/pods/a/proxy/")
    assert UNKNOWN in simulated_kubectl.refusal("create", "token", "default")


def test_a_generator_that_sends_what_is_not_read_is_told_what_to_do(simulated_kubectl: Kubectl) -> None:
    refused = simulated_kubectl.refusal("create", "job", "a", "--image=image:1")
    assert "does not read this protobuf" in refused
    assert "--dry-run=client -o yaml" in refused
    job = simulated_kubectl.run("create", "job", "a", "--image=image:1", "--dry-run=client", "-o", "yaml")
    assert "kind: Job" in job


def test_a_built_in_kind_is_not_explained(simulated_kubectl: Kubectl) -> None:
    assert "does not describe the fields of built-in kinds" in simulated_kubectl.run("explain", "pods").replace(
        "\n    ", " "
    )
    assert 'field "spec" does not exist' in simulated_kubectl.refusal("explain", "pods.spec")


def test_who_one_is_nobody_knows(simulated_kubectl: Kubectl) -> None:
    assert "selfsubjectreviews API is not enabled" in simulated_kubectl.refusal("auth", "whoami")


def test_a_kind_that_is_not_served_is_not_there(simulated_kubectl: Kubectl) -> None:
    assert "doesn't have a resource type" in simulated_kubectl.refusal("get", "horizontalpodautoscalers")
    body = {"apiVersion": "nowhere.dev/v1", "kind": "Thing", "metadata": {"name": "a"}}
    refused = simulated_kubectl.refusal("apply", "--server-side", "-f", "-", stdin=body)
    assert 'no matches for kind "Thing"' in refused
