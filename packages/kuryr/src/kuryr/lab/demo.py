"""`kuryr lab demo`: the whole path in front of one's eyes, with the real kubectl, openstack and ping. Each step is
checked; the first that is not as it must be ends it with an error.
"""

import json
import re
import time
from collections.abc import Callable

from kuryr.lab.kubernetes import kubectl
from kuryr.lab.lab import Lab
from kuryr.lab.layout import POD_IMAGE, VM, WORLD_IP, LabError
from kuryr.lab.processes import run, say
from kuryr.lab.snapshots import find_disagreements, take_api, take_neutron

_DEPLOYMENT = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: demo}}
spec:
  replicas: 4
  selector: {{matchLabels: {{app: demo}}}}
  template:
    metadata: {{labels: {{app: demo}}}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule,
         labelSelector: {{matchLabels: {{app: demo}}}}}}
      containers:
      - {{name: main, image: {POD_IMAGE}, imagePullPolicy: Never, args: [netexec, --http-port=8080],
         command: [/agnhost]}}
"""


def demo(lab: Lab) -> None:
    """Raises `LabError` at the first thing that is not as it must be."""
    _title("Neutron ports before")
    say(_openstack(lab, "port", "list", "-c", "Name", "-c", "MAC Address", "-c", "Fixed IP Addresses", "-c", "Status"))
    _title("a Deployment of 4 pods on two nodes")
    kubectl(lab.layout, "apply", "-f", "-", stdin=_DEPLOYMENT)
    say(kubectl(lab.layout, "rollout", "status", "deployment/demo", "--timeout=120s", timeout_s=130))
    say(kubectl(lab.layout, "get", "pods", "-l", "app=demo", "-o", "wide"))
    say(kubectl(lab.layout, "get", "kuryrports"))
    say(kubectl(lab.layout, "get", "kuryrportpools"))
    say(_openstack(lab, "port", "list", "-c", "Name", "-c", "MAC Address", "-c", "Fixed IP Addresses", "-c", "Status"))
    _pings(lab)
    _title("the Deployment is deleted")
    say(kubectl(lab.layout, "delete", "deployment", "demo", "--timeout=60s"))
    eventually(lambda: not leftovers(lab), timeout_s=90, what=lambda: f"left over: {leftovers(lab)}")
    say(_openstack(lab, "port", "list", "-c", "Name", "-c", "MAC Address", "-c", "Fixed IP Addresses", "-c", "Status"))
    say("left over: no KuryrPort, no Neutron port of Kuryr, no tap in OVS")


def _pings(lab: Lab) -> None:
    pods = json.loads(kubectl(lab.layout, "get", "pods", "-l", "app=demo", "-o", "json"))["items"]
    by_node: dict[str, list[tuple[str, str]]] = {}
    for pod in pods:
        by_node.setdefault(pod["spec"]["nodeName"], []).append((pod["metadata"]["name"], pod["status"]["podIP"]))
    if sorted(map(len, by_node.values())) != [2, 2]:
        raise LabError(f"the pods are not spread over two nodes: {by_node}")
    (here, _), (_, same_ip) = by_node["node1"]
    (_, across_ip), _ = by_node["node2"]
    vm_ip = (lab.layout.state / "vm1.address").read_text()
    for title, address in (
        ("pod to pod on one node", same_ip),
        ("pod to pod across nodes", across_ip),
        ("pod to VM", vm_ip),
        ("pod to outside, through the router", WORLD_IP),
    ):
        _title(title)
        say(ping_from_pod(lab, here, address))
    _title("VM to pod, by the pod's own address")
    say(run(["ping", "-c", "3", "-W", "5", across_ip], netns=VM))


def ping_from_pod(lab: Lab, pod: str, address: str) -> str:
    """The output of ping. Raises `LabError` when nothing came back."""
    return kubectl(lab.layout, "exec", pod, "--", "ping", "-c", "3", "-W", "5", address)


def neutron_ports(lab: Lab) -> list[str]:
    """Ids of the ports that Kuryr made for pods: not the nodes' own."""
    own = {node.spec.interface.port_id for node in take_api(lab.layout).nodes if node.spec.interface is not None}
    return sorted({port.id for port in take_neutron(lab.layout)} - own)


def taps(lab: Lab) -> list[str]:
    """OVS ports of pods on all nodes: rows with our record, and host ends of veth pairs."""
    found = []
    for node in lab.layout.nodes:
        vsctl = [lab.layout.ovs_bin / "ovs-vsctl", "--timeout=10", f"--db=unix:{lab.layout.ovsdb(node)}"]
        rows = run([*vsctl, "--bare", "--columns=name,external_ids", "find", "Interface"])
        found += re.findall(r"^(tap\S+)\n.*kuryr-container-id", rows, re.MULTILINE)
        links = run(["ip", "-n", node.netns, "-o", "link", "show", "type", "veth"])
        found += list(re.findall(r": (tap[0-9a-f]{12})@", links))
    return found


def leftovers(lab: Lab) -> list[str]:
    """What is there of Kuryr for pods, and what does not agree: empty when no pod is."""
    claims = [f"KuryrPort {claim.key}" for claim in take_api(lab.layout).claims]
    return claims or list(find_disagreements(lab.layout))


def eventually(is_so: Callable[[], bool], *, timeout_s: float, what: Callable[[], str]) -> None:
    """Until it is so. Raises `LabError` with what is the matter when time is up."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            raise LabError(what())
        time.sleep(0.3)


def _openstack(lab: Lab, *arguments: str) -> str:
    env = {"OS_CLIENT_CONFIG_FILE": str(lab.layout.clouds), "OS_CLOUD": "kuryr"}
    return run([lab.layout.openstack_venv / "bin/openstack", *arguments], env=env)


def _title(text: str) -> None:
    say(f"\n=== {text}")
