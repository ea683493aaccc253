"""A cloud with nothing but ports, for tests of a machine alone."""

from collections.abc import Callable

from kuryr.simulator.fabric import BoundPort


class Ports:
    """Implements `Fabric`. `active` are those that a chassis has plugged."""

    def __init__(self) -> None:
        self.ports: dict[tuple[str, str], BoundPort] = {}
        self.active: set[tuple[str, str]] = set()
        self._heard: list[Callable[[str], None]] = []

    def make(self, port_id: str, host: str, port: BoundPort | None = None) -> None:
        self.ports[port_id, host] = port or BoundPort("02:00:00:00:00:01", ("10.1.0.5",))
        self._tell(port_id)

    def delete(self, port_id: str, host: str) -> None:
        del self.ports[port_id, host]
        self._tell(port_id)

    def port_bound(self, port_id: str, host: str) -> BoundPort | None:
        return self.ports.get((port_id, host))

    def plugged(self, port_id: str, host: str) -> None:
        self.active.add((port_id, host))

    def unplugged(self, port_id: str, host: str) -> None:
        self.active.discard((port_id, host))

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        self._heard.append(changed)
        return lambda: self._heard.remove(changed)

    def _tell(self, port_id: str) -> None:
        for heard in self._heard:
            heard(port_id)
