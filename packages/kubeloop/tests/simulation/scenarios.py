"""All scenarios of the right samples, for `make sim`."""

from .disks_scenario import DISKS
from .fleets_scenario import FLEETS
from .shared_config import SHARED_CONFIG
from .slots_scenario import SLOTS

__all__ = ["DISKS", "FLEETS", "SHARED_CONFIG", "SLOTS"]
