"""Whatever is asked of the simulated Neutron, in whatever order: what it keeps about ports agrees with the ports."""

import random
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kuryr.simulator.cloud import Cloud

HOSTS = ("", "node1.test", "nowhere")
NUMBERS = st.integers(0, 3)
PORT = st.fixed_dictionaries(
    {},
    optional={
        "mac_address": NUMBERS.map(lambda number: f"02:00:00:00:00:0{number}"),
        "fixed_ips": st.lists(
            st.one_of(st.just({"subnet_id": "?"}), NUMBERS.map(lambda number: {"ip_address": f"10.0.0.{number}"})),
            max_size=2,
        ),
        "binding:host_id": st.sampled_from(HOSTS),
    },
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.lists(PORT, min_size=1, max_size=3)),
        st.tuples(st.just("update"), st.tuples(NUMBERS, PORT)),
        st.tuples(st.just("delete"), NUMBERS),
        st.tuples(st.just("quota"), st.integers(-1, 4)),
        st.tuples(st.just("plug"), NUMBERS),
    ),
    max_size=25,
)


class Model:
    """One cloud with a small subnet: 10.0.0.2 to 10.0.0.6."""

    def __init__(self) -> None:
        self.cloud = Cloud(random.Random(1), lambda: 1_700_000_000.0)
        self.network = self.cloud.make_network("kubernetes", "pods", "10.0.0.0/29")
        self.subnet = self.network["subnets"][0]
        self.project = self.network["project_id"]
        self.cloud.network.hosts.add("node1.test")
        user = self.cloud.identity.add_user("kuryr", "secret", "kubernetes", "member", "service")
        self.token = self.cloud.tokens.issue(user.id, self.project, ("member", "service")).secret

    def ask(self, method: str, path: str, body: Any = None) -> int:
        data = msgspec.json.encode(body) if body is not None else b""
        answer = self.cloud.handle(method, f"/network/v2.0/ports{path}", (), {"X-Auth-Token": self.token}, data)
        assert answer.status in (200, 201, 204, 400, 404, 409), answer
        return answer.status

    def do(self, action: str, value: Any) -> None:
        there = list(self.cloud.network.ports.objects)
        if action == "create":
            before = len(there)
            status = self.ask(
                "POST", "", {"ports": [{**self.read(one), "network_id": self.network["id"]} for one in value]}
            )
            made = len(self.cloud.network.ports.objects) - before
            assert made == (len(value) if status == 201 else 0)
        elif action == "quota":
            self.cloud.network.quotas.own[self.project] = {"port": value}
        elif there and action == "update":
            self.ask("PUT", f"/{there[value[0] % len(there)]}", {"port": self.read(value[1])})
        elif there and action == "delete":
            assert self.ask("DELETE", f"/{there[value % len(there)]}") == 204
        elif there and action == "plug":
            self.cloud.fabric.plugged(there[value % len(there)], "node1.test")

    def read(self, port: dict[str, Any]) -> dict[str, Any]:
        fixed = [{"subnet_id": self.subnet} if "subnet_id" in one else one for one in port.get("fixed_ips", ())]
        return {**port, "fixed_ips": fixed} if "fixed_ips" in port else port

    def check(self) -> None:
        ports = list(self.cloud.network.ports.objects.values())
        macs = Counter(port["mac_address"] for port in ports)
        assert not macs or max(macs.values()) == 1
        held = [address["ip_address"] for port in ports for address in port["fixed_ips"]]
        addresses = self.cloud.network.subnets.addresses[self.subnet]
        assert len(set(held)) == len(held) == len(addresses)
        assert all(address in addresses for address in held)
        assert self.cloud.network.ports.counts.get(self.project, 0) == len(ports)
        for port in ports:
            expected = {"": "unbound", "node1.test": "ovs", "nowhere": "binding_failed"}[port["binding:host_id"]]
            assert port["binding:vif_type"] == expected
            assert port["status"] == "DOWN" or expected == "ovs"


@given(ACTIONS)
@settings(max_examples=200, deadline=None)
def test_macs_addresses_counts_and_bindings_agree_with_the_ports(actions: list[tuple[str, Any]]) -> None:
    model = Model()
    for action, value in actions:
        model.do(action, value)
        model.check()
