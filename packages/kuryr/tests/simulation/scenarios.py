"""All scenarios of the whole system, for `make sim` and for the tests."""

from kubeloop.testing import Scenario

from . import clouds, nodes, pods

ALL: dict[str, Scenario] = {
    one.name: one for module in (pods, nodes, clouds) for one in vars(module).values() if isinstance(one, Scenario)
}
