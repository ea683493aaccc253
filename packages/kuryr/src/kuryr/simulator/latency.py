"""How long a real Neutron takes, as it was measured in the lab on two cores: data for who puts time around the cloud.

Keystone answers as fast as Neutron's middleware lets one see it. Bulk creates are not faster by the port.
"""

import random
import re

import msgspec

# path below the cloud, method: median and 99th percentile in seconds
_MEASURED: tuple[tuple[re.Pattern[str], str, float, float], ...] = (
    (re.compile(r"/network/v2\.0/ports"), "POST", 0.345, 0.677),
    (re.compile(r"/network/v2\.0/ports/[^/]+"), "PUT", 0.145, 0.25),
    (re.compile(r"/network/v2\.0/ports/[^/]+"), "DELETE", 0.13, 0.25),
    (re.compile(r"/network/v2\.0/[^/]+/[^/]+(/.*)?"), "GET", 0.018, 0.06),
    (re.compile(r"/network/v2\.0/[^/]+"), "GET", 0.03, 0.3),
    (re.compile(r"/network/.*"), "POST", 0.15, 0.4),
    (re.compile(r"/network/.*"), "PUT", 0.15, 0.4),
    (re.compile(r"/network/.*"), "DELETE", 0.13, 0.3),
    (re.compile(r"/identity/.*"), "POST", 0.28, 0.5),
)
_OTHERWISE = (0.005, 0.02)
_SIGMAS = 2.326  # of a normal distribution, at its 99th percentile

PLUG_TO_ACTIVE_S = (0.208, 0.274)
"""From iface-id on the bridge to ACTIVE in Neutron, alone on the machine: median and longest."""


def latency_s(method: str, path: str, body: bytes, chance: random.Random) -> float:
    """How long this request takes; log-normal through the two points that were measured."""
    for pattern, verb, median_s, p99_s in _MEASURED:
        if verb == method and pattern.fullmatch(path):
            return _drawn(median_s, p99_s, chance) * (_ports(body) if method == "POST" else 1)
    return _drawn(*_OTHERWISE, chance)


def _drawn(median_s: float, p99_s: float, chance: random.Random) -> float:
    return float(median_s * (p99_s / median_s) ** (chance.gauss(0.0, 1.0) / _SIGMAS))


class _Bulk(msgspec.Struct):
    ports: tuple[msgspec.Raw, ...] = ()


def _ports(body: bytes) -> int:
    try:
        return len(msgspec.json.decode(body, type=_Bulk).ports) or 1
    except msgspec.MsgspecError:
        return 1
