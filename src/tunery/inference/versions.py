"""A registered base and its adapters as an engine takes them."""

from __future__ import annotations

from collections.abc import Mapping

from tunery.errors import Refused
from tunery.inference.child import engine_logs
from tunery.inference.ports import AdapterSpec, EngineSpec
from tunery.platform.ground import Ground
from tunery.registry.operations import checkout_version, resolve_version

__all__ = ["spec_of_versions"]


def spec_of_versions(
    ground: Ground, tenant_id: str, base: str, adapters: Mapping[str, str] | None = None
) -> EngineSpec:
    """Bring a base version and adapter versions to the disk, verified, and say how to serve them. No session is held.

    Args:
        ground: The ground; its settings give slots, threads and context length.
        tenant_id: Whose versions these are. Converted files are kept apart for each tenant too.
        base: Reference or id of the version with all weights.
        adapters: Reference or id of each adapter version, by the name that requests will use.

    Raises:
        NotFound: A version is missing. Refused: an adapter belongs to another base, or the base is an adapter.
        SignatureInvalid, IntegrityError: a version is not what was signed.
    """
    settings = ground.settings
    with ground.database.session(tenant_id, read_only=True) as session:
        base_version = resolve_version(session, base)
        if base_version.kind == "adapter":
            raise Refused(f"{base_version.reference} is an adapter; serve it on its base")
        versions = {name: resolve_version(session, reference) for name, reference in (adapters or {}).items()}
        for version in versions.values():
            if version.base_digest != base_version.manifest_digest:
                raise Refused(f"{version.reference} was not trained on {base_version.reference}, digest for digest")
    return EngineSpec(
        model_dir=checkout_version(ground, tenant_id, base_version.id),
        model_digest=base_version.manifest_digest,
        cache_dir=settings.folder("cache", "engines", tenant_id),
        work_dir=engine_logs(settings),
        adapters=tuple(
            AdapterSpec(name, checkout_version(ground, tenant_id, version.id), version.manifest_digest)
            for name, version in versions.items()
        ),
        context_length=settings.context_length,
        slots=settings.engine_slots,
        threads=settings.threads or None,
    )
