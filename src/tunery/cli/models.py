"""``tunery models``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, confirm, note, plain, plain_text, sheet, table
from tunery.cli.transfers import watching
from tunery.cli.waiting import finish
from tunery.client import Client
from tunery.client.loading_guide import GUIDE
from tunery.errors import InvalidInput

noun = Noun("models", "The registry: show, pull, verify, promote and export versions.")
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
Ref = Annotated[str, typer.Argument(metavar="REFERENCE", help="name:1.2.0, or a name for its newest version.")]

_VERSION = (
    "reference", "kind", "status", "stage", "onHold", "manifestDigest", "sizeBytes", "baseReference", "baseDigest",
    "scores", "changelog", "createdBy", "createdAt",
)  # fmt: skip


@noun.command("list", example="tunery models list --query address")
def list_models(
    query: Annotated[str, typer.Option("--query", "-q", help="Part of a name or description.")] = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> Output:
    """List models."""
    with Client() as client:
        models = client.models.list(query, limit=limit, offset=offset)
        return table(models, "name", "currentVersion", "kind", "baseModelName", "tags", "updatedAt")


@noun.command("get", example="tunery models get address-json")
def get_model(model: Name) -> Output:
    """Show a model, without its versions."""
    with Client() as client:
        return sheet(client.models.get(model))


@noun.command("show", example="tunery models show address-json:1.0.0")
def show(reference: Ref) -> Output:
    """Show a version: files, digest, signature, scores, what it stands on."""
    with Client() as client:
        version = client.models.version(reference)
    found = sheet(version, *_VERSION)
    files = [
        {"file": f["path"], "sha256": f["digests"]["sha256"], "sizeBytes": f["size_bytes"]}
        for f in version.manifest["files"]
    ]
    signed = {"signedBy": version.signature["signatures"][0]["keyid"]}
    return Output(
        found.data, found.shown, [sheet(signed).shown or "", table(files, "file", "sha256", "sizeBytes").shown or ""]
    )


@noun.command("info", example="tunery models info address-json:1.0.0")
def info(reference: Ref) -> Output:
    """Show a version; the same as `show`."""
    return show(reference)


@noun.command("versions", example="tunery models versions address-json")
def versions(model: Name) -> Output:
    """List a model's versions, the highest first."""
    with Client() as client:
        found = client.models.versions(model)
        return table(found, "reference", "kind", "status", "stage", "manifestDigest", "sizeBytes", "createdAt")


@noun.command("register", example="tunery models register ./my-adapter --name my-model --base-model smollm2:1.0.0")
def register(
    path: Annotated[Path, typer.Argument(exists=True, help="A folder of files, or one file.")],
    name: Annotated[str, typer.Option(help="The model; it is made if it is new.")],
    version: Annotated[str | None, typer.Option(help="MAJOR.MINOR.PATCH. Default: the next one.")] = None,
    change: Annotated[
        Literal["major", "minor", "patch"], typer.Option(help="What the next version changes.")
    ] = "minor",
    base_model: Annotated[str | None, typer.Option(help="For adapters: the registered base, name:version.")] = None,
    is_base: Annotated[bool, typer.Option("--is-base", help="It is a base model to fine-tune.")] = False,
    description: Annotated[str, typer.Option(help="Of the model.")] = "",
    changelog: Annotated[str, typer.Option(help="What is new in this version.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Of the model; may be repeated.")] = None,
    metadata: Annotated[str, typer.Option(help="A JSON object of anything worth keeping.")] = "{}",
) -> Output:
    """Register a version from local files; it is inspected and signed."""
    with Client() as client, watching("upload") as watch:
        made = client.models.register(
            name,
            path,
            version=version,
            change=change,
            base_reference=base_model,
            is_base=is_base,
            description=description,
            changelog=changelog,
            tags=tag or [],
            metadata=_object(metadata),
            watch=watch,
        )
    return sheet(made, *_VERSION)


@noun.command("update", example="tunery models update address-json --description 'US addresses' --add-tag validated")
def update(
    model: Name,
    description: Annotated[str | None, typer.Option(help="New description.")] = None,
    add_tag: Annotated[list[str] | None, typer.Option(help="Tag to add; may be repeated.")] = None,
    remove_tag: Annotated[list[str] | None, typer.Option(help="Tag to take away; may be repeated.")] = None,
    category: Annotated[str | None, typer.Option(help="New category.")] = None,
    license: Annotated[str | None, typer.Option(help="New licence, as an SPDX name.")] = None,
) -> Output:
    """Change a model's description, tags, category or licence."""
    changes = {"description": description, "add_tags": add_tag, "remove_tags": remove_tag, "category": category}
    with Client() as client:
        given = {k: v for k, v in (changes | {"license": license}).items() if v is not None}
        return sheet(client.models.update(model, **given))


@noun.command("update-version", example="tunery models update-version address-json:1.0.0 --changelog 'more rows'")
def update_version(
    reference: Ref,
    changelog: Annotated[str | None, typer.Option(help="What is new in it.")] = None,
    metadata: Annotated[
        str | None, typer.Option(help="A JSON object; its keys replace those of the same name.")
    ] = None,
) -> Output:
    """Change a version's changelog or metadata, while it is in development."""
    changes: dict[str, Any] = {} if changelog is None else {"changelog": changelog}
    if metadata is not None:
        changes["metadata"] = _object(metadata)
    with Client() as client:
        return sheet(client.models.update_version(reference, **changes), *_VERSION)


@noun.command("delete", example="tunery models delete address-json:1.0.0 --confirm")
def delete(
    reference: Ref,
    destroy: Annotated[bool, typer.Option("--destroy", help="Destroy its bytes for good, beyond backups.")] = False,
    lose_damaged: Annotated[
        bool, typer.Option("--lose-damaged", help="Destroy though damaged files lie beside it; they are given up.")
    ] = False,
    confirmed: Annotated[bool, typer.Option("--confirm", help="Do not ask.")] = False,
) -> Output:
    """Take a version out of sight; its stage must allow it and nothing may stand on it."""
    if not confirmed:
        confirm(f"Destroy the bytes of {reference} for good?" if destroy else f"Delete {reference}?")
    with Client() as client:
        gone = client.models.delete(reference, destroy=destroy, lose_damaged=lose_damaged)
        finish(client, gone.job_id, f"destroying {reference}", wait=True)
        result = client.jobs.get(gone.job_id).result if gone.job_id else {}
    return sheet({**plain(gone), **(result or {})}, "reference", "status", "destroyed", "spared", "lost", "freed_bytes")


@noun.command("verify", example="tunery models verify address-json:1.0.0")
def verify(reference: Ref) -> Output:
    """Check a version's signature and hash every byte."""
    with Client() as client:
        return sheet(client.models.verify(reference))


@noun.command("promote", example="tunery models promote address-json:1.0.0 staging")
def promote(
    reference: Ref,
    stage: Annotated[str, typer.Argument(help="testing, staging, production, deprecated or archived.")],
    verdict: Annotated[str | None, typer.Option(help="Passing verdict to rest on. Default: the newest one.")] = None,
    seen: Annotated[str | None, typer.Option(help="Stage that you saw; refused if it has changed since.")] = None,
) -> Output:
    """Move a version's stage; upwards only on a passing verdict."""
    with Client() as client:
        moved = client.models.promote(reference, stage, verdict_id=verdict, seen_stage=seen)
    return sheet(moved, "reference", "stage", "status")


@noun.command("lineage", example="tunery models lineage address-json:1.0.0")
def lineage(reference: Ref, depth: Annotated[int, typer.Option(min=1, max=50, help="Steps to follow.")] = 10) -> Output:
    """Show what a version came from and what came from it."""
    with Client() as client:
        graph = plain(client.models.lineage(reference, depth=depth))
    names = {node["id"]: f"{node['type']} {node['name']}" for node in graph["nodes"]}
    edges = [
        {"from": names.get(e["from"], e["from"]), "relation": e["relationType"], "to": names.get(e["to"], e["to"])}
        for e in graph["edges"]
    ]
    return Output(graph, table(edges, "from", "relation", "to").shown)


@noun.command("pull", example="tunery models pull address-json:1.0.0 --output ./address-json")
def pull(
    reference: Ref,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files. Default: NAME-VERSION.")
    ] = None,
) -> Output:
    """Download a version, checked against its signature; a broken transfer is gone on with."""
    with Client() as client, watching("download") as watch:
        folder = client.models.pull(reference, output, watch)
    return sheet({"reference": reference, "folder": str(folder), "verified": True})


@noun.command("export", example="tunery models export address-json:1.0.0 --output ./export --with-base")
def export(
    reference: Ref,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")],
    form: Annotated[
        Literal["folder", "gguf"], typer.Option("--format", help="For transformers, peft and vLLM; or for llama.cpp.")
    ] = "folder",
    with_base: Annotated[bool, typer.Option("--with-base", help="For adapters: write the base too.")] = False,
) -> Output:
    """Write a version out for other programs, checked against its signature."""
    with Client() as client, watching("download") as watch:
        written = client.models.export(reference, output, form=form, with_base=with_base, watch=watch)
    if (guide := output / GUIDE) in written:
        lacking = "" if with_base else "; it needs its base, which --with-base writes beside it"
        note(f"how peft and vLLM load it: {guide}{lacking}")
    return sheet({"reference": reference, "written": [str(path) for path in written]})


@noun.command("file", example="tunery models file address-json:1.0.0 adapter_config.json")
def file(reference: Ref, path: Annotated[str, typer.Argument(help="Path inside the version.")]) -> Output:
    """Print one small text file of a version."""
    with Client() as client:
        text = client.models.file(reference, path).decode(errors="replace")
    return Output({"reference": reference, "path": path, "text": text}, plain_text(text))


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"--metadata is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput('--metadata must be a JSON object, such as {"commit": "abc"}')
    return value
