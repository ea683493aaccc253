"""All scenarios of the right samples, for `make sim`."""

from .slots_scenario import SLOTS

__all__ = ["SLOTS"]
