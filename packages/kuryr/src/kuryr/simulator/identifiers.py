"""Identifiers and times as OpenStack writes them."""

import random
import uuid
from datetime import UTC, datetime


class Identifiers:
    """All by chance, and repeatable with it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def uuid(self) -> str:
        """Neutron's form, with hyphens."""
        digits = f"{self._chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def hex(self) -> str:
        """Keystone's form."""
        return f"{self._chance.getrandbits(128):032x}"

    def secret(self) -> str:
        """A token or an application credential's secret."""
        return f"gAAAAAB{self._chance.getrandbits(512):0128x}"

    def mac_address(self) -> str:
        """Of Neutron's base_mac."""
        digits = f"{self._chance.getrandbits(24):06x}"
        return f"fa:16:3e:{digits[:2]}:{digits[2:4]}:{digits[4:]}"


def is_uuid(text: object) -> bool:
    """Of Neutron's notion: any form that Python reads, too."""
    if not isinstance(text, str):
        return False
    try:
        return str(uuid.UUID(text)).replace("-", "") == text.replace("-", "").lower()
    except ValueError:
        return False


def neutron_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def keystone_time(seconds: float) -> str:
    """Keystone's tokens have whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
