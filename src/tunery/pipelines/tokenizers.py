"""The tokenizer of a model, for the sanitising steps that count tokens: datasets know no models."""

from __future__ import annotations

from tunery.datasets.references import MODEL_TOKENIZERS
from tunery.errors import NotFound
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder
from tunery.registry.bases import BaseSource, find_base, materialize_base, pin_base
from tunery.registry.operations import checkout_version

__all__ = ["read_tokenizer"]


@MODEL_TOKENIZERS.register("models")
def read_tokenizer(ground: Ground, tenant_id: str, reference: str) -> bytes:
    """Return a registered or packaged model's ``tokenizer.json``. Raises: NotFound: it is not here, or has none."""
    source = pin_base(ground, tenant_id, BaseSource(reference, {}))
    with ground.database.session(tenant_id, read_only=True) as session:
        found = find_base(session, source)
        version = found.id if found else None
    with scratch_folder(ground.settings, "tokenizer") as scratch:
        if version is not None:
            folder = checkout_version(ground, tenant_id, version)
        elif source.kind == "package":
            folder = materialize_base(ground, tenant_id, source, scratch / "base")
        else:
            raise NotFound(
                f"the model {reference[:120]!r} is not registered here, so its tokenizer cannot count tokens"
            )
        try:
            return (folder / "tokenizer.json").read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the model {reference[:120]!r} has no tokenizer.json") from None
