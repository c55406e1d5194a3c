"""Find models and versions."""

from __future__ import annotations

import sqlalchemy as sa

from tunery.errors import InvalidInput, NotFound
from tunery.identity.operations import own_reference
from tunery.kit.ids import parse_id
from tunery.platform.db import Page, TenantSession, page_of
from tunery.registry.operations.keys import public_key
from tunery.registry.rules import STAGES, check_loadable, version_key
from tunery.registry.tables import GONE, Model, ModelVersion, SigningKey

__all__ = [
    "get_model",
    "hold_version",
    "list_models",
    "list_versions",
    "public_key_of",
    "resolve_version",
    "use_version",
]


def list_models(session: TenantSession, query: str = "", limit: int = 50, offset: int = 0) -> Page[Model]:
    """Return models by name; ``query`` is looked for, literally, in names and descriptions."""
    statement = sa.select(Model).order_by(Model.name)
    if query:
        statement = statement.where(
            Model.name.icontains(query, autoescape=True) | Model.description.icontains(query, autoescape=True)
        )
    return page_of(session, statement, limit, offset)


def get_model(session: TenantSession, name: str) -> Model:
    """Return a model by name or id. Raises: NotFound."""
    known_id = parse_id(name)
    condition = Model.id == known_id if known_id else Model.name == name
    model = session.scalars(sa.select(Model).where(condition)).one_or_none()
    if model is None:
        raise NotFound(f"there is no model {name!r}; `tunery models list` shows what there is")
    return model


def list_versions(session: TenantSession, name: str) -> list[ModelVersion]:
    """Return all versions of a model, the highest first. Raises: NotFound: no such model."""
    model = get_model(session, name)
    statement = sa.select(ModelVersion).where(ModelVersion.model_id == model.id, ModelVersion.status.not_in(GONE))
    return sorted(session.scalars(statement), key=lambda row: version_key(row.version), reverse=True)


def resolve_version(session: TenantSession, reference: str, *, gone: bool = False) -> ModelVersion:
    """Return the version that ``name``, ``name:1.0.0``, ``name:<stage>`` or an id names; a bare name is the highest.

    Args:
        session: The tenant's session.
        reference: What names it.
        gone: Whether a number or an id may also name one that was deleted or destroyed.

    Raises:
        NotFound: There is none, or it is another tenant's.
    """
    if (known_id := parse_id(reference)) is not None:
        row = session.get(ModelVersion, known_id)
        if row is None or (row.status in GONE and not gone):
            raise NotFound(
                f"{reference} was destroyed for good"
                if row and row.status == "erased"
                else f"there is no version {reference}"
            )
        return row
    try:
        wanted = own_reference(session, reference)
    except InvalidInput as error:
        raise NotFound(f"there is no model {reference[:120]!r}") from error
    for row in list_versions(session, wanted.name):
        if wanted.version in (None, row.version) or (wanted.version in STAGES and row.stage == wanted.version):
            return row
    unseen = sa.select(ModelVersion).join(Model, ModelVersion.model_id == Model.id)
    unseen = unseen.where(Model.name == wanted.name, ModelVersion.version == wanted.version)
    if (row := session.scalars(unseen).one_or_none()) is not None:
        if gone:
            return row
        if row.status == "erased":
            raise NotFound(f"{wanted.name}:{wanted.version} was destroyed for good; no copy of its bytes can be read")
    raise NotFound(f"there is no version {reference!r}; `tunery models show {wanted.name}` lists its versions")


def hold_version(session: TenantSession, version: ModelVersion, *, alone: bool = False) -> None:
    """Keep a version from being deleted until this transaction ends; many may hold it, or one ``alone`` who deletes it.

    Raises:
        NotFound: Somebody has just deleted it.
    """
    statement = sa.select(ModelVersion.status).where(ModelVersion.id == version.id).with_for_update(read=not alone)
    if session.scalar(statement) in (None, *GONE):
        raise NotFound(f"{version.reference} was deleted by somebody else at this moment")


def use_version(session: TenantSession, version: ModelVersion) -> None:
    """Hold a version that is to be loaded. Raises: NotFound: as ``hold_version``. UnsafeFormat: it is in quarantine."""
    hold_version(session, version)
    check_loadable(version.reference, version.status, version.details)


def public_key_of(session: TenantSession, version: ModelVersion) -> SigningKey | None:
    """Return the key that signed a version, if it is one of the tenant's that is not revoked."""
    return public_key(session, version.signature["signatures"][0]["keyid"])
