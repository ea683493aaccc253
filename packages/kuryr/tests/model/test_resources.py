from kubeloop import KubeObject, custom_resource_definition
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool


def _columns(kind: type[KubeObject]) -> list[str]:
    """What `kubectl get` shows after NAME, without -o wide."""
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    return [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]


def test_a_port_is_listed_with_its_pod_as_name_node_address_port_and_state() -> None:
    assert _columns(KuryrPort) == ["Node", "IP", "Port", "Plugged", "Age"]


def test_a_pool_is_listed_with_its_counts() -> None:
    assert _columns(KuryrPortPool) == ["Node", "Ready", "In-Use", "Growing", "Cooling", "Age"]


def test_a_node_is_listed_with_its_health() -> None:
    assert _columns(KuryrNode) == ["Host", "Bindings", "OVS", "OVN", "Age"]
