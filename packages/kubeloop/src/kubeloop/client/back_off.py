"""How long to wait after the n-th failure in a row: exponential, bounded, with jitter so that many do not come back
at once.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOff:
    """`first_s` after the first failure, doubled for each further, at most `longest_s`; then spread over half to
    whole.
    """

    first_s: float = 0.1
    longest_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after `failures` (at least 1) failures in a row."""
        bound = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 60))
        return bound * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
