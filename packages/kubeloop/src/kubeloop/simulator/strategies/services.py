"""Services: their addresses and ports are given out by the server, here the lowest that is free."""

from ipaddress import IPv4Address

from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.storage import Storage
from kubeloop.simulator.strategies.base import Strategy, invalid, required

_FIRST_ADDRESS = IPv4Address("10.96.0.10")
_FIRST_NODE_PORT = 30000
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class Services(Strategy):
    def defaulted(self, body: Body) -> Body:
        spec = body.get("spec", {})
        ports = [{**one, "targetPort": one.get("targetPort", one.get("port"))} for one in spec.get("ports", ())]
        found = {**spec, **({"ports": ports} if ports else {})}
        if found.get("type") in _WITH_NODE_PORTS:
            found.setdefault("externalTrafficPolicy", "Cluster")
        if found.get("type") == "LoadBalancer":
            found.setdefault("allocateLoadBalancerNodePorts", True)
        return {**body, "spec": found}

    def prepare_create(self, body: Body, storage: Storage) -> Body:
        body = super().prepare_create(body, storage)
        spec = {**body["spec"]}
        if spec["type"] == "ExternalName":
            spec.pop("internalTrafficPolicy", None)
            return {**body, "spec": spec}
        taken = [stored.body["spec"] for stored in storage.objects("services").values()]
        address = spec.get("clusterIP") or _free_address([one.get("clusterIP", "") for one in taken])
        spec.update(clusterIP=address, clusterIPs=spec.get("clusterIPs") or [address])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec["type"] in _WITH_NODE_PORTS:
            spec["ports"] = _with_node_ports(spec.get("ports", []), taken)
        return {**body, "spec": spec}

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        """What the server gave stays when a client that does not know of it writes the object."""
        spec, before = body["spec"], old["spec"]
        if subresource or spec["type"] == "ExternalName":
            return body
        given = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
        missing = {name: before[name] for name in given if not spec.get(name) and name in before}
        return {**body, "spec": {**spec, **missing}} if missing else body

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        spec = body["spec"]
        if spec["type"] == "ExternalName":
            return [] if spec.get("externalName") else [required("spec.externalName")]
        causes = []
        if not spec.get("ports") and spec.get("clusterIP") != "None":
            causes.append(required("spec.ports"))
        address = old["spec"].get("clusterIP") if old is not None else None
        if address and spec.get("clusterIP") != address:
            causes.append(invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set"))
        return causes


def _free_address(taken: list[str]) -> str:
    address = _FIRST_ADDRESS
    while str(address) in taken:
        address += 1
    return str(address)


def _with_node_ports(ports: list[Body], services: list[Body]) -> list[Body]:
    taken = [one.get("nodePort") for spec in services for one in spec.get("ports", ())]
    found = []
    for port in ports:
        number = port.get("nodePort") or _FIRST_NODE_PORT
        while not port.get("nodePort") and number in taken:
            number += 1
        taken.append(number)
        found.append({**port, "nodePort": number})
    return found
