"""Who is asking: bearer tokens, cached for a stated few seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import sqlalchemy as sa
from starlette.requests import Request

from tunery import audit
from tunery.errors import Unauthenticated
from tunery.identity.rules import hash_secret, permissions_of, same_secret, split_token
from tunery.identity.tables import ApiToken, Membership, User
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.ground import Ground
from tunery.platform.http import RouteSpec

__all__ = ["Authenticator"]


class Authenticator:
    """Turns requests into actors. A revoked token works at most ``grant_cache_seconds`` longer."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._seconds = ground.settings.grant_cache_seconds
        self._cache: dict[str, tuple[float, Actor]] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Actor:
        """Return the actor of a request. Raises: Unauthenticated: no token, or none that is valid."""
        headers = request.headers.getlist("authorization")
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        actor = self.actor_of(token.strip())
        address = request.client.host if request.client else ""
        return replace(actor, source_ip=address, user_agent=request.headers.get("user-agent", ""))

    def actor_of(self, token: str) -> Actor:
        """Return who holds a token. Raises: Unauthenticated: it is unknown, revoked or over."""
        parts = split_token(token)
        if parts is None:
            raise Unauthenticated
        key = hash_secret(token)
        with self._lock:
            until, actor = self._cache.get(key, (0.0, None))
        if actor is not None and time.monotonic() < until:
            return actor
        actor = self._look_up(*parts)
        with self._lock:
            if len(self._cache) > 10_000:
                self._cache.clear()
            self._cache[key] = (time.monotonic() + self._seconds, actor)
        return actor

    def on_denied(self, actor: Actor, spec: RouteSpec, request: Request) -> None:
        """Write an audit entry of a call that was denied for want of a permission."""
        with self._ground.database.session(actor.tenant_id) as session:
            path = request.scope["path"]
            audit.record(session, actor, spec.operation_id, path, outcome="denied", needs=spec.permission)

    def _look_up(self, key_id: str, secret: str) -> Actor:
        with self._ground.database.system_session("a token names its tenant", read_only=True) as session:
            statement = (
                sa.select(ApiToken, User, Membership)
                .join(User, User.id == ApiToken.user_id)
                .join(Membership, (Membership.user_id == User.id) & (Membership.tenant_id == ApiToken.tenant_id))
                .where(ApiToken.key_id == key_id)
            )
            found = session.execute(statement).one_or_none()
            if found is None or not same_secret(secret, found[0].secret_hash):
                raise Unauthenticated
            token, user, member = found
            if token.revoked_at is not None or (token.expires_at is not None and token.expires_at < now()):
                raise Unauthenticated("this token is revoked or has ended; make a new one with `tunery tokens create`")
            roles = frozenset(token.roles) & frozenset(member.roles)
            return Actor(token.tenant_id, user.id, user.email, roles, permissions_of(roles))
