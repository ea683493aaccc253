"""Who has a Neutron port that two claims name: the node decides, for nobody else wires its pools' ports. Pure.

Two leaders in turn may each have given the port away. The claim whose sandbox is wired keeps it; else the earlier one,
by creation and then UID. The other is replaced by the controller, with another port.
"""

from collections.abc import Callable, Iterable

from kuryr.model.resources import KuryrPort


def ports_of(claim: KuryrPort) -> tuple[str, ...]:
    """The ids of the Neutron ports that a claim names: also the index by which its rivals are found."""
    return tuple(interface.port_id for interface in claim.spec.interfaces)


def find_winner(
    claim: KuryrPort, others: Iterable[KuryrPort], is_wired: Callable[[KuryrPort], bool]
) -> KuryrPort | None:
    """The live claim to which `claim` has to give way, of those that name one of its ports; None: to nobody."""

    def rank(one: KuryrPort) -> tuple[bool, str, str]:
        return not is_wired(one), one.metadata.creation_timestamp, one.metadata.uid

    rivals = [one for one in others if one.metadata.uid != claim.metadata.uid and not one.metadata.deleting]
    first = min(rivals, key=rank, default=None)
    return first if first is not None and rank(first) < rank(claim) else None
