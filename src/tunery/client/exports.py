"""Write a version out for other programs: a folder for transformers, peft and vLLM, or GGUF files for llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunery.client.downloads import WatchFile, fetch_version
from tunery.client.loading_guide import write_guide
from tunery.errors import InvalidInput, NotFound
from tunery.registry.rules import check_loadable
from tunery.registry.schemas import VersionView

if TYPE_CHECKING:
    from tunery.client.models import Models
    from tunery.client.transport import Transport

__all__ = ["export_version"]

BASE_FOLDER = "base"


def export_version(
    models: Models,
    transport: Transport,
    reference: str,
    output: Path,
    form: Literal["folder", "gguf"],
    with_base: bool,
    watch: WatchFile | None,
) -> list[Path]:
    """Write a version out; return what was written. See ``Models.export``."""
    version = models.download(reference)
    check_loadable(version.reference, version.status, version.details)
    if form == "folder":
        written = [fetch_version(transport, version, output, watch)]
        if version.kind != "adapter":
            return written
        if with_base:
            written.append(fetch_version(transport, _base_of(models, version), output / BASE_FOLDER, watch))
        beside = output / BASE_FOLDER
        return [*written, write_guide(version, output, beside if beside.is_dir() else None)]
    return _export_gguf(models, transport, version, output, with_base, watch)


def _export_gguf(
    models: Models, transport: Transport, version: VersionView, output: Path, with_base: bool, watch: WatchFile | None
) -> list[Path]:
    from tunery.weights.gguf_write import adapter_to_gguf, transformers_to_gguf

    def cached(wanted: VersionView) -> Path:
        folder = transport.settings.folder("cache", "pulled", wanted.manifest_digest)
        return fetch_version(transport, wanted, folder, watch)

    def target(wanted: VersionView, ending: str) -> Path:
        path = output / f"{wanted.reference.replace(':', '-').replace('/', '-')}{ending}.gguf"
        if path.exists():
            raise InvalidInput(f"{path} is there already; choose another folder or move it")
        return path

    output.mkdir(parents=True, exist_ok=True)
    if version.kind != "adapter":
        whole = target(version, "")
        transformers_to_gguf(cached(version), whole)
        return [whole]
    base, lora = _base_of(models, version), target(version, "-lora")
    written = [lora, *([target(base, "")] if with_base else [])]
    base_folder = cached(base)
    adapter_to_gguf(cached(version), base_folder, lora)
    for whole in written[1:]:
        transformers_to_gguf(base_folder, whole)
    return written


def _base_of(models: Models, version: VersionView) -> VersionView:
    if version.base_reference is None:
        raise NotFound(f"the base of {version.reference} is not here any more; its digest is {version.base_digest}")
    base = models.download(version.base_reference)
    check_loadable(base.reference, base.status, base.details)
    if base.manifest_digest != version.base_digest:
        raise NotFound(f"{version.base_reference} is not the base that {version.reference} was made on")
    return base
