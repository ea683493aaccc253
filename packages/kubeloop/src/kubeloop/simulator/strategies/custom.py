"""Custom resources."""

from kubeloop.simulator.refusals import Body
from kubeloop.simulator.strategies.base import Strategy

_APART = ("apiVersion", "kind", "metadata", "status")


class Custom(Strategy):
    def generation_grows(self, body: Body, old: Body) -> bool:
        """With everything but metadata and status."""
        if len(body) == len(old) and all(body[name] is old.get(name) for name in body if name not in _APART):
            return False
        return _apart(body) != _apart(old)


def _apart(body: Body) -> Body:
    return {name: value for name, value in body.items() if name not in _APART}
