"""Models and their versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tunery.client.downloads import WatchFile, fetch_version
from tunery.client.exports import export_version
from tunery.client.files import Files
from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.errors import InvalidInput, NotFound
from tunery.kit.references import Reference
from tunery.lineage.schemas import GraphView
from tunery.registry.schemas import (
    ArtifactFile,
    DeletedVersion,
    ModelDetail,
    ModelUpdate,
    ModelView,
    RegisterVersion,
    Verification,
    VersionSummary,
    VersionUpdate,
    VersionView,
)

__all__ = ["Models"]


class Models(Noun):
    """The registry. A reference is ``name:1.2.0``; the name alone means its newest version."""

    def list(self, q: str = "", *, limit: int = 50, offset: int = 0) -> Page[ModelView]:
        """List models, those whose name or description holds ``q``."""
        return self._page(ModelView, path_of("models"), q=q or None, limit=limit, offset=offset)

    def get(self, name: str) -> ModelDetail:
        """Show a model."""
        return view(ModelDetail, self._get(path_of("models", name)))

    def update(self, name: str, **changes: Any) -> ModelView:
        """Change a model: ``description``, ``add_tags``, ``remove_tags``, ``category``, ``license``."""
        return view(ModelView, self._send("PATCH", path_of("models", name), ModelUpdate(**changes)))

    def versions(self, name: str) -> Page[VersionSummary]:
        """List a model's versions, the highest first."""
        return self._page(VersionSummary, path_of("models", name, "versions"))

    def version(self, reference: str) -> VersionView:
        """Show a version with manifest, signature and details."""
        return view(VersionView, self._get(self._path(reference)))

    def register(
        self,
        name: str,
        path: Path | str,
        *,
        version: str | None = None,
        change: Literal["major", "minor", "patch"] = "minor",
        base_reference: str | None = None,
        is_base: bool = False,
        description: str = "",
        changelog: str = "",
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        watch: WatchFile | None = None,
    ) -> VersionView:
        """Register a version from a folder (or one file) of this machine; it is inspected and signed there.

        Args:
            name: The model; it is made if it is new.
            path: The files. Only files that cannot run code are taken (safetensors, GGUF, JSON, text); others where the
                settings here and there say ``quarantine``, never to be loaded.
            version: MAJOR.MINOR.PATCH; none takes the next one.
            change: Size of the change, where no version is given.
            base_reference: For adapters: the registered base.
            is_base: Whether it is a base model to fine-tune.
            description: Of the model.
            changelog: What is new in this version.
            tags: Of the model.
            metadata: Anything worth keeping; plain JSON.
            watch: Told of each file's progress.

        Raises:
            UnsafeFormat: A file could run code when loaded. FormatInvalid: a file is not what it says.
        """
        files, uploads = [], Files(self._transport)
        near = self._near_files(name, base_reference)
        for file in _model_files(Path(path), self._transport.settings.unsafe_files == "quarantine"):
            told = partial(watch, file.name) if watch else None
            stored = uploads.upload(file, told, like=near.get(file.name))
            files.append(ArtifactFile(path=file.name, digest=stored.digest))
        wish = RegisterVersion(
            files=files,
            version=version,
            change=change,
            base_reference=base_reference,
            is_base=is_base,
            description=description,
            changelog=changelog,
            tags=[*tags],
            metadata=dict(metadata or {}),
        )
        return view(VersionView, self._send("POST", path_of("models", name, "versions"), wish))

    def update_version(self, reference: str, **changes: Any) -> VersionView:
        """Change a version in development: ``changelog``, ``metadata``."""
        return view(VersionView, self._send("PATCH", self._path(reference), VersionUpdate(**changes)))

    def delete(self, reference: str, *, destroy: bool = False, lose_damaged: bool = False) -> DeletedVersion:
        """Take a version out of sight; its stage must allow it and nothing may stand on it.

        Args:
            reference: The version.
            destroy: Destroy its bytes for good, beyond every backup; the job named in the answer does it. Files that
                are needed elsewhere are spared, and named in the job's result. A version that was deleted before can
                be destroyed still.
            lose_damaged: Give up damaged files that lie beside them rather than the destruction; the job names them.
        """
        query = {"destroy": str(destroy).lower(), "lose_damaged": str(lose_damaged).lower()}
        return view(DeletedVersion, self._transport.call("DELETE", self._path(reference), query=query, keyed=True)[0])

    def verify(self, reference: str) -> Verification:
        """Check a version's signature and hash every byte, there. Raises: SignatureInvalid, IntegrityError."""
        return view(Verification, self._send("POST", self._path(reference, "verify")))

    def promote(
        self, reference: str, to_stage: str, *, verdict_id: str | None = None, seen_stage: str | None = None
    ) -> VersionSummary:
        """Move a version's stage; upwards only on a passing verdict.

        Args:
            reference: The version.
            to_stage: testing, staging or production upwards; deprecated or archived at the end.
            verdict_id: The passing verdict to rest on; the version's newest one where not given.
            seen_stage: The stage that you saw; the move is refused if it has changed since.

        Raises:
            GateFailed: There is no passing verdict. StaleState: somebody else moved it first.
        """
        wish = {"toStage": to_stage, "verdictId": verdict_id, "seenStage": seen_stage}
        return view(VersionSummary, self._send("POST", self._path(reference, "promote"), wish))

    def lineage(self, reference: str, *, depth: int = 10) -> GraphView:
        """Show what a version came from and what came from it."""
        return view(GraphView, self._get(self._path(reference, "lineage"), depth=depth))

    def download(self, reference: str) -> VersionView:
        """Begin a download: it is audited, and the answer holds what is needed to check it; ``pull`` does it all."""
        return view(VersionView, self._send("POST", self._path(reference, "downloads")))

    def pull(self, reference: str, output: Path | str | None = None, watch: WatchFile | None = None) -> Path:
        """Download a version, checked against its signature; a broken transfer is gone on with.

        Args:
            reference: The version.
            output: The folder its files come into; none means ``name-version`` here.
            watch: Told of each file's progress.

        Raises:
            SignatureInvalid: The signature does not fit. IntegrityError: bytes are damaged.
            Conflict: Other files of the same names are there.
        """
        version = self.download(reference)
        folder = Path(output) if output else Path(version.reference.replace(":", "-").replace("/", "-"))
        return fetch_version(self._transport, version, folder, watch)

    def export(
        self,
        reference: str,
        output: Path | str,
        *,
        form: Literal["folder", "gguf"] = "folder",
        with_base: bool = False,
        watch: WatchFile | None = None,
    ) -> Sequence[Path]:
        """Write a version out for other programs, checked against its signature; return what was written.

        Args:
            reference: The version.
            output: A folder.
            form: ``folder`` for transformers, peft and vLLM; ``gguf`` (16 bit) for llama.cpp. An adapter becomes a
                LoRA file, which llama.cpp applies to its base with ``--lora``.
            with_base: For adapters: write the base too, into ``base`` or as a GGUF file beside. LOADING.md says
                how peft and vLLM load an adapter.
            watch: Told of each file's progress.

        Raises:
            MissingExtra: The library that writes GGUF is not installed. FormatInvalid: a family GGUF does not know.
        """
        return export_version(self, self._transport, reference, Path(output), form, with_base, watch)

    def file(self, reference: str, path: str) -> bytes:
        """Return one file of a version, whole; for small ones such as ``config.json``."""
        with self._transport.stream("GET", self._path(reference, "files", *path.split("/"))) as response:
            return response.read()

    def _near_files(self, name: str, base_reference: str | None) -> dict[str, str]:
        """Return digests by path of the base's files, else of the newest version's: what comes may be a near copy."""
        try:
            version = self.version(base_reference or name)
        except (NotFound, InvalidInput):  # whatever is wrong with the base is told when the version is registered
            return {}
        return {file["path"]: file["digests"]["sha256"] for file in version.manifest["files"]}

    def _path(self, reference: str, *rest: str) -> str:
        wanted = Reference.parse(reference)
        if wanted.tenant is not None:
            raise InvalidInput(f"write {wanted.name!r} without the tenant: your token already names it")
        version = wanted.version or self.get(wanted.name).current_version
        return path_of("models", wanted.name, "versions", version, *rest)


def _model_files(path: Path, quarantine: bool) -> Sequence[Path]:
    """Return the files that make up a model; what could run code is refused before a byte is sent, unless wanted."""
    from tunery.weights.folders import inspect_folder, refuse_remote_code

    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidInput(f"{path} is neither a file nor a folder")
    return [path / name for name in refuse_remote_code(inspect_folder(path, quarantine=quarantine)).files]
