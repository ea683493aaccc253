"""Tokens: issued, good until they expire or are revoked."""

from collections.abc import Callable
from dataclasses import dataclass

from kuryr.simulator.identifiers import Identifiers


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`project_id` is empty for an unscoped one."""

    secret: str
    user_id: str
    project_id: str
    roles: tuple[str, ...]
    methods: tuple[str, ...]
    audit_id: str
    issued_at: float
    expires_at: float
    credential_id: str = ""


class Tokens:
    """Every token that is not forgotten; `lifetime_s` may be changed for those issued from then on."""

    def __init__(self, identifiers: Identifiers, now: Callable[[], float], *, lifetime_s: float) -> None:
        self.lifetime_s = lifetime_s
        self._identifiers = identifiers
        self._now = now
        self._tokens: dict[str, IssuedToken] = {}
        self.on_revoke_all: Callable[[], None] = lambda: None

    def issue(
        self,
        user_id: str,
        project_id: str,
        roles: tuple[str, ...],
        *,
        methods: tuple[str, ...] = ("password",),
        credential_id: str = "",
        expires_at: float | None = None,
    ) -> IssuedToken:
        """`expires_at`: of the token that this one is made from, which it does not outlive."""
        now = self._now()
        token = IssuedToken(
            secret=self._identifiers.secret(),
            user_id=user_id,
            project_id=project_id,
            roles=roles,
            methods=methods,
            audit_id=self._identifiers.hex()[:22],
            issued_at=now,
            expires_at=min(now + self.lifetime_s, expires_at or float("inf")),
            credential_id=credential_id,
        )
        self._tokens[token.secret] = token
        return token

    def find(self, secret: str) -> IssuedToken | None:
        """None where it is unknown, has expired, or was revoked."""
        token = self._tokens.get(secret)
        if token is not None and token.expires_at <= self._now():
            del self._tokens[secret]
            return None
        return token

    def revoke(self, secret: str) -> None:
        self._tokens.pop(secret, None)

    def revoke_all(self) -> None:
        """As a cloud that was started anew with other keys: nobody remembers any, and every client is answered 401."""
        self._tokens.clear()
        self.on_revoke_all()

    def revoke_where(self, matches: Callable[[IssuedToken], bool]) -> None:
        """Those of a user whose role was withdrawn, or of a deleted application credential."""
        for token in [one for one in self._tokens.values() if matches(one)]:
            del self._tokens[token.secret]
