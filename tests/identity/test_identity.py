"""Tokens: shown once, kept as a hash, never wider than their maker's, over within seconds when revoked."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.fixtures import make_actor
from tunery.audit import AuditEntry
from tunery.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from tunery.identity.authentication import Authenticator
from tunery.identity.operations import bootstrap, create_tenant, create_token, list_tokens, revoke_token
from tunery.identity.rules import ROLES, permissions_of
from tunery.identity.schemas import TenantCreate, TokenCreate
from tunery.identity.tables import ApiToken
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground


def test_the_first_start_makes_an_owner_whose_token_only_the_owner_can_read(ground: Ground) -> None:
    token = bootstrap(ground)
    path = ground.settings.home / "owner.token"
    assert path.read_text() == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert bootstrap(ground) == token
    assert Authenticator(ground).actor_of(token).may("models:delete")


def test_only_the_hash_of_a_token_is_kept(ground: Ground, actor: Actor) -> None:
    with ground.database.session(actor.tenant_id) as session:
        row, token = create_token(session, actor, TokenCreate(name="ci"))
        secret = token.rsplit("_", 1)[0] and token.split("_", 2)[2]
        kept = " ".join(str(value) for value in vars(row).values())
        assert secret not in kept
    assert Authenticator(ground).actor_of(token).roles == {"viewer"}


@pytest.mark.parametrize(
    "token", ["", "x", "tnr_", "tnr_" + "0" * 24 + "_" + "A" * 43, "' OR 1=1--", "é" * 70, "tnr_" + "a" * 1_000_000]
)
def test_what_is_no_token_is_unauthenticated(ground: Ground, owner_token: str, token: str) -> None:
    with pytest.raises(Unauthenticated):
        Authenticator(ground).actor_of(token)


def test_a_right_id_with_a_wrong_secret_is_unauthenticated(ground: Ground, owner_token: str) -> None:
    with pytest.raises(Unauthenticated):
        Authenticator(ground).actor_of(owner_token[:-1] + ("A" if owner_token[-1] != "A" else "B"))


def test_a_revoked_token_ends_when_the_cache_does(ground: Ground, actor: Actor) -> None:
    with ground.database.session(actor.tenant_id) as session:
        row, token = create_token(session, actor, TokenCreate(name="ci"))
    cached = Authenticator(ground)
    cached.actor_of(token)
    with ground.database.session(actor.tenant_id) as session:
        revoke_token(session, actor, row.key_id)
        revoke_token(session, actor, row.id)
    with pytest.raises(Unauthenticated):
        Authenticator(ground).actor_of(token)


def test_a_token_cannot_be_wider_than_its_maker(ground: Ground) -> None:
    developer = make_actor(ground, "acme", "model_developer")
    with ground.database.session(developer.tenant_id) as session:
        with pytest.raises(Forbidden, match="cannot allow more"):
            create_token(session, developer, TokenCreate(name="x", roles=["model_admin"]))
        with pytest.raises(Forbidden, match="only an administrator"):
            create_token(session, developer, TokenCreate(name="x", email="other@acme.example"))
        with pytest.raises(InvalidInput, match="no role"):
            create_token(session, developer, TokenCreate(name="x", roles=["root"]))
        create_token(session, developer, TokenCreate(name="x", roles=["model_developer"]))


def test_people_see_their_own_tokens_and_administrators_all(ground: Ground, actor: Actor, stranger: Actor) -> None:
    developer = make_actor(ground, "acme", "model_developer")
    with ground.database.session(actor.tenant_id) as session:
        row, _ = create_token(session, actor, TokenCreate(name="admin's"))
        create_token(session, developer, TokenCreate(name="developer's"))
        assert [t.name for t in list_tokens(session, developer, 50, 0).items] == ["developer's"]
        assert {t.name for t in list_tokens(session, actor, 50, 0).items} == {"developer's", "admin's"}
        with pytest.raises(NotFound):
            revoke_token(session, developer, row.id)
    with ground.database.session(stranger.tenant_id) as session:
        assert list_tokens(session, stranger, 50, 0).total == 0
        with pytest.raises(NotFound):
            revoke_token(session, stranger, row.id)


def test_only_the_operator_makes_tenants(ground: Ground, actor: Actor) -> None:
    operator = Authenticator(ground).actor_of(bootstrap(ground))
    tenant, token = create_tenant(ground, operator, TenantCreate(name="beta", admin_email="a@beta.example"))
    assert Authenticator(ground).actor_of(token).tenant_id == tenant.id
    with pytest.raises(Conflict):
        create_tenant(ground, operator, TenantCreate(name="beta", admin_email="a@beta.example"))
    with pytest.raises(Forbidden):
        create_tenant(ground, actor, TenantCreate(name="gamma", admin_email="a@gamma.example"))


def test_granting_roles_is_audited_in_the_same_transaction(ground: Ground, actor: Actor) -> None:
    with ground.database.session(actor.tenant_id) as session:
        create_token(session, actor, TokenCreate(name="x", email="new@acme.example", roles=["viewer"]))
        actions = session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)).all()
        session.rollback()
    assert actions == ["permission_changed", "token_created"]
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert session.scalars(sa.select(AuditEntry)).all() == []
        assert session.scalars(sa.select(ApiToken)).all() == []


def test_each_role_of_the_requirements_allows_what_they_say() -> None:
    developer, engineer = permissions_of(["model_developer"]), permissions_of(["ml_engineer"])
    assert {"models:create", "models:read", "models:update", "models:delete_own"} <= developer
    assert {"adapters:create", "adapters:read"} <= developer
    assert {"models:read", "models:deploy", "models:promote", "adapters:deploy", "registry:search"} <= engineer
    assert {"models:*", "adapters:*", "registry:*", "access_control:manage"} <= ROLES["model_admin"]
    assert {"models:read", "adapters:read", "registry:search"} <= ROLES["viewer"]
    assert "models:promote" not in developer
    assert "models:create" not in engineer | ROLES["viewer"]
