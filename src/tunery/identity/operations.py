"""Use cases of identity: the first start, tenants, tokens, who is asking."""

from __future__ import annotations

import os
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery import audit
from tunery.errors import Conflict, Forbidden, InvalidInput, NotFound
from tunery.identity.rules import ROLES, new_token, permissions_of, same_secret, split_token
from tunery.identity.schemas import TenantCreate, TokenCreate
from tunery.identity.tables import ApiToken, Membership, Tenant, User
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.ids import new_id, parse_id
from tunery.kit.references import Reference, check_name
from tunery.platform.db import Page, TenantSession, page_of
from tunery.platform.ground import Ground

__all__ = [
    "OWNER_TOKEN",
    "bootstrap",
    "create_tenant",
    "create_token",
    "is_operator",
    "list_tokens",
    "own_reference",
    "revoke_token",
]

OWNER_TOKEN = "owner.token"
_OWNER = "owner@localhost"


def bootstrap(ground: Ground) -> str:
    """Make the first tenant and the local owner where there are none, and return the owner's token.

    The token lies in the home folder with mode 0600; whoever may read that folder is the owner.
    """
    path = ground.settings.folder() / OWNER_TOKEN
    with ground.database.system_session("the first start makes the operator tenant") as session:
        tenant = session.scalars(sa.select(Tenant).where(Tenant.is_operator)).one_or_none()
        if tenant is None:
            tenant = Tenant(id=new_id(), name="local", is_operator=True)
            session.add(tenant)
            session.flush()
        if path.exists() and _stands(session, token := path.read_text(encoding="ascii").strip()):
            return token
        actor = Actor(tenant.id, None, _OWNER)
        user = _member(session, actor, _OWNER, ["model_admin"])
        _, token = _issue(session, actor, user, TokenCreate(name="local owner", roles=["model_admin"]))
        staging = path.with_suffix(".new")
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staging, path)  # before the commit: a token without its row is replaced at the next start
    return token


def create_tenant(ground: Ground, actor: Actor, wish: TenantCreate) -> tuple[Tenant, str]:
    """Make a tenant and its administrator's first token. Only members of the operator tenant may.

    Raises:
        Forbidden: The actor's tenant is not the operator. Conflict: the name is taken.
    """
    check_name(wish.name)
    with ground.database.system_session("the operator makes a tenant") as session:
        own = session.get(Tenant, actor.tenant_id)
        if own is None or not own.is_operator:
            raise Forbidden("only the operator tenant may make tenants")
        if session.scalars(sa.select(Tenant).where(Tenant.name == wish.name)).one_or_none():
            raise Conflict(f"there is a tenant {wish.name!r} already; choose another name")
        tenant = Tenant(id=new_id(), name=wish.name)
        session.add(tenant)
        session.flush()
        new_actor = Actor(tenant.id, None, actor.name)
        user = _member(session, new_actor, wish.admin_email, ["model_admin"])
        _, token = _issue(session, new_actor, user, TokenCreate(name="first", roles=["model_admin"]))
        audit.record(session, actor, "tenant_created", wish.name)
        return tenant, token


def is_operator(session: TenantSession) -> bool:
    """Tell whether the session's tenant is the operator: the first, to which the server itself belongs."""
    tenant = session.get(Tenant, session.tenant_id)
    return tenant is not None and tenant.is_operator


def create_token(session: TenantSession, actor: Actor, wish: TokenCreate) -> tuple[ApiToken, str]:
    """Make a token with at most the actor's own permissions, for the actor or, for administrators, for a member.

    Raises:
        Forbidden: The roles allow more than the actor's, or it is for another person and the actor is no administrator.
    """
    if not permissions_of(wish.roles) <= _closure(actor):
        raise Forbidden("a token cannot allow more than its maker's own; choose fewer roles")
    for_other = wish.email is not None and wish.email.lower() != actor.name
    if for_other and not actor.may("access_control:manage"):
        raise Forbidden("only an administrator makes tokens for others")
    user = _person(session, (wish.email or actor.name).lower())
    member = session.scalars(sa.select(Membership).where(Membership.user_id == user.id)).one_or_none()
    if member is None:
        session.add(Membership(user_id=user.id, roles=wish.roles))
        audit.record(session, actor, "permission_changed", user.email, roles=wish.roles)
    elif not set(wish.roles) <= set(member.roles):
        member.roles = sorted({*member.roles, *wish.roles})
        audit.record(session, actor, "permission_changed", user.email, roles=member.roles)
    return _issue(session, actor, user, wish)


def list_tokens(session: TenantSession, actor: Actor, limit: int, offset: int) -> Page[ApiToken]:
    """Return tokens, newest first: an administrator sees the tenant's, others their own."""
    statement = sa.select(ApiToken).order_by(ApiToken.id.desc())
    if not actor.may("access_control:manage"):
        statement = statement.where(ApiToken.user_id == actor.user_id)
    return page_of(session, statement, limit, offset)


def revoke_token(session: TenantSession, actor: Actor, token_id: str) -> ApiToken:
    """End a token; within seconds it works nowhere. Revoking twice is no error. Raises: NotFound."""
    statement = sa.select(ApiToken).where(sa.or_(ApiToken.id == parse_id(token_id), ApiToken.key_id == token_id))
    token = session.scalars(statement).one_or_none()
    own = token is not None and token.user_id == actor.user_id
    if token is None or not (own or actor.may("access_control:manage")):
        raise NotFound(f"there is no token {token_id}")
    if token.revoked_at is None:
        token.revoked_at = now()
        audit.record(session, actor, "token_revoked", token.key_id)
    return token


def own_reference(session: TenantSession, text: str) -> Reference:
    """Parse ``[tenant/]name[:version]``. Raises: InvalidInput: it is none. NotFound: it is another tenant's."""
    reference = Reference.parse(text)
    if reference.tenant is not None:
        tenant = session.get(Tenant, session.tenant_id)
        if tenant is None or tenant.name != reference.tenant:
            raise NotFound(f"there is no {text[:200]!r} here")
    return reference


def _person(session: Session, email: str) -> User:
    if not 3 <= len(email) <= 320 or email.count("@") != 1 or any(c.isspace() for c in email):
        raise InvalidInput(f"{email[:80]!r} is no e-mail address")
    user = session.scalars(sa.select(User).where(User.email == email)).one_or_none()
    if user is None:
        user = User(id=new_id(), email=email)
        session.add(user)
        session.flush()
    return user


def _member(session: Session, actor: Actor, email: str, roles: list[str]) -> User:
    user = _person(session, email.lower())
    statement = sa.select(Membership).where(Membership.tenant_id == actor.tenant_id, Membership.user_id == user.id)
    if session.scalars(statement).one_or_none() is None:
        session.add(Membership(tenant_id=actor.tenant_id, user_id=user.id, roles=roles))
    return user


def _stands(session: Session, token: str) -> bool:
    """Tell whether this database knows the token; the file may be of another database."""
    parts = split_token(token)
    row = parts and session.scalars(sa.select(ApiToken).where(ApiToken.key_id == parts[0])).one_or_none()
    return bool(parts and row and row.revoked_at is None and same_secret(parts[1], row.secret_hash))


def _issue(session: Session, actor: Actor, user: User, wish: TokenCreate) -> tuple[ApiToken, str]:
    token, key_id, secret_hash = new_token()
    row = ApiToken(
        tenant_id=actor.tenant_id,
        key_id=key_id,
        secret_hash=secret_hash,
        name=wish.name,
        user_id=user.id,
        roles=wish.roles,
        expires_at=now() + timedelta(days=wish.expires_in_days) if wish.expires_in_days else None,
    )
    session.add(row)
    session.flush()
    audit.record(session, actor, "token_created", key_id, roles=wish.roles, for_user=user.email)
    return row, token


def _closure(actor: Actor) -> frozenset[str]:
    """Everything the actor may, with ``noun:*`` opened to what any role names."""
    every = frozenset().union(*ROLES.values())
    return frozenset(p for p in every if actor.may(p))
