"""What Neutron remembers of tokens: it asks Keystone once in a while, not at each request.

So a token that is revoked is good there for up to five minutes more, if it was used before. That it expires Neutron
sees by itself.
"""

from collections.abc import Callable

from kuryr.simulator.keystone.tokens import IssuedToken, Tokens

CACHE_S = 300.0
"""The default of keystonemiddleware's token_cache_time."""


class TokenCache:
    """In front of `Tokens`."""

    def __init__(self, tokens: Tokens, now: Callable[[], float]) -> None:
        self._tokens = tokens
        self._now = now
        self._good: dict[str, tuple[IssuedToken, float]] = {}
        tokens.on_revoke_all = self._good.clear

    def find(self, secret: str) -> IssuedToken | None:
        """None where it is not good, as far as Neutron knows."""
        remembered = self._good.get(secret)
        if remembered is not None and min(remembered[0].expires_at, remembered[1]) > self._now():
            return remembered[0]
        found = self._tokens.find(secret)
        if found is None:
            self._good.pop(secret, None)
        else:
            self._good[secret] = (found, self._now() + CACHE_S)
        return found
