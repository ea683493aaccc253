"""What is shown of services, their endpoints, and of ways into the cluster."""

from collections.abc import Mapping

from kubeloop.simulator.columns.column import AGE, NAME, NONE, Column, at, made, path_column, selector
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.selectors import label_selector_text


def _service_external(service: Body) -> str:
    kind = at(service, "spec", "type", default="ClusterIP")
    addresses = [*at(service, "spec", "externalIPs", default=[])]
    if kind == "ExternalName":
        return str(at(service, "spec", "externalName", default=""))
    if kind == "LoadBalancer":
        ingress = at(service, "status", "loadBalancer", "ingress", default=[])
        addresses = [one.get("ip") or one.get("hostname") or "" for one in ingress] + addresses
        return ",".join(addresses) or "<pending>"
    return ",".join(addresses) or NONE


def _service_ports(service: Body) -> str:
    def text(port: Body) -> str:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"

    return ",".join(map(text, at(service, "spec", "ports", default=[]))) or NONE


def _some(found: list[str], most: int = 3) -> str:
    """The first ones; how many more there are."""
    more = f" + {len(found) - most} more..." if len(found) > most else ""
    return ",".join(found[:most]) + more


def _endpoints(endpoints: Body) -> str:
    found = []
    for subset in endpoints.get("subsets") or ():
        addresses = [one["ip"] for one in subset.get("addresses") or ()]
        ports = [str(one["port"]) for one in subset.get("ports") or ()]
        found += [f"{ip}:{port}" if port else ip for port in ports or [""] for ip in addresses]
    return _some(found) if endpoints.get("subsets") else NONE


def _slice_ports(endpoint_slice: Body) -> str:
    ports = [str(one.get("port") or one.get("name") or "*") for one in endpoint_slice.get("ports") or ()]
    return _some(ports) or "<unset>"


def _slice_endpoints(endpoint_slice: Body) -> str:
    found = [one for endpoint in endpoint_slice.get("endpoints") or () for one in endpoint.get("addresses") or ()]
    return _some(found) or "<unset>"


def _hosts(ingress: Body) -> str:
    found = [rule["host"] for rule in at(ingress, "spec", "rules", default=[]) if rule.get("host")]
    return _some(found) or "*"


def _addresses(ingress: Body) -> str:
    ingresses = at(ingress, "status", "loadBalancer", "ingress", default=[])
    return ",".join(one.get("ip") or one.get("hostname") or "" for one in ingresses)


def _parameters(ingress_class: Body) -> str:
    found = at(ingress_class, "spec", "parameters")
    if found is None:
        return NONE
    group = f".{found['apiGroup']}" if found.get("apiGroup") else ""
    return f"{found['kind']}{group}/{found['name']}"


COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "services": (
        NAME,
        path_column("Type", "spec", "type"),
        made("Cluster-IP", lambda service: at(service, "spec", "clusterIP", default=NONE) or NONE),
        made("External-IP", _service_external),
        made("Port(s)", _service_ports),
        AGE,
        selector("spec", "selector", plain=True),
    ),
    "endpoints": (NAME, made("Endpoints", _endpoints), AGE),
    "endpointslices.discovery.k8s.io": (
        NAME,
        path_column("AddressType", "addressType"),
        made("Ports", _slice_ports),
        made("Endpoints", _slice_endpoints),
        AGE,
    ),
    "ingresses.networking.k8s.io": (
        NAME,
        path_column("Class", "spec", "ingressClassName", default=NONE),
        made("Hosts", _hosts),
        made("Address", _addresses),
        made("Ports", lambda ingress: "80, 443" if at(ingress, "spec", "tls") else "80"),
        AGE,
    ),
    "ingressclasses.networking.k8s.io": (
        NAME,
        path_column("Controller", "spec", "controller"),
        made("Parameters", _parameters),
        AGE,
    ),
    "networkpolicies.networking.k8s.io": (
        NAME,
        made("Pod-Selector", lambda policy: label_selector_text(at(policy, "spec", "podSelector")) or NONE),
        AGE,
    ),
}
