"""``tunery store``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tunery.cli.noun import Noun
from tunery.cli.output import Output, plain, sheet, table
from tunery.cli.waiting import Wait, found_by
from tunery.client import Client
from tunery.errors import IntegrityError, InvalidInput
from tunery.kit.units import format_bytes

_NAMED = 20

noun = Noun("store", "Where the bytes lie: usage, check, collection, keys.")


@noun.command("usage", example="tunery store usage")
def usage() -> Output:
    """Show how much lies in the store, by codec and by model, and what it saves."""
    with Client() as client:
        use = client.store.usage()
    shown = _told(
        ("files", f"{use.files:,}"),
        ("their lengths added up", format_bytes(use.logical_bytes)),
        ("of that different", format_bytes(use.unique_bytes)),
        ("stored, sealed", format_bytes(use.stored_bytes)),
        ("kept though nothing names it", format_bytes(use.pinned_bytes)),
        ("saved", f"{use.saved_share:.1%}"),
    )
    parts = [
        table(use.codecs, "codec", "segments", "plainBytes", "storedBytes", empty="no segments yet").shown,
        table(use.models, "model", "versions", "logicalBytes", "storedBytes", empty="no models yet").shown,
    ]
    return Output(plain(use), shown, [part for part in parts if part])


@noun.command("quota", example="tunery store quota")
def quota() -> Output:
    """Show how much is stored and reserved, and how much may be."""
    with Client() as client:
        return sheet(client.store.quota())


@noun.command("set-quota", example="tunery store set-quota acme --limit-bytes 500000000000")
def set_quota(
    tenant: Annotated[str, typer.Argument(help="Name of the tenant.")],
    limit_bytes: Annotated[int | None, typer.Option(min=0, help="Bytes in the store.")] = None,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Take the limit away.")] = False,
) -> Output:
    """Set how much a tenant may store; for the operator."""
    if (limit_bytes is None) != no_limit:
        raise InvalidInput("say either --limit-bytes or --no-limit")
    with Client() as client:
        return sheet(client.store.set_quota(tenant, limit_bytes))


@noun.command("tenants", example="tunery store tenants")
def tenants() -> Output:
    """List what each tenant keeps and may, the most first; for the operator."""
    with Client() as client:
        found = [*client.store.tenants()]
    return table(found, "tenant", "files", "logicalBytes", "storedBytes", "reservedBytes", "limitBytes")


@noun.command("check", example="tunery store check --repair backup")
def check(
    quick: Annotated[bool, typer.Option(help="Compare packs with their checksums only.")] = False,
    repair: Annotated[
        str | None, typer.Option(metavar="URL", help="Mend from good packs there; `backup`: from the backup's.")
    ] = None,
    wait: Wait = True,
) -> Output:
    """Look every byte over; damage is named, and mended from a mirror. Damage that is left is a failure."""
    with Client() as client:
        found = found_by(client, client.store.check(quick=quick, repair_url=repair).job_id, "checking the store", wait)
    damages = found.get("damages", [])
    grid = table(damages, "pack_id", "reason", "files", "versions", "mended", "not_mended", empty="no damage")
    left = found.get("left")
    failure = IntegrityError(f"{left} damages are left; --repair URL mends packs, not keys") if left else None
    if "damages" not in found:
        return sheet(found)
    alone = found.get("unreferenced", {})
    note = f"{len(alone):,} packs that no row knows, {format_bytes(sum(alone.values()))}: `tunery store gc` takes them"
    return Output(found, grid.shown, [Text(note)] if alone else [], failure=failure)


@noun.command("gc", example="tunery store gc --dry-run")
def collect(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
    grace_hours: Annotated[
        float | None, typer.Option(min=1, help="Spare what was touched within. Default: the setting.")
    ] = None,
    wait: Wait = True,
) -> Output:
    """Give back the bytes that no row names any more."""
    with Client() as client:
        job = client.store.gc(dry_run=dry_run, grace_hours=grace_hours)
        found = found_by(client, job.job_id, "collecting bytes", wait)
    if "freed_bytes" not in found:
        return sheet(found)
    shown = _told(
        ("files that nothing names", f"{len(found['files']):,}"),
        ("segments that nothing needs", f"{found['segments']:,}"),
        ("would be given back" if dry_run else "given back", format_bytes(found["freed_bytes"])),
        ("stays dead beside what lives", format_bytes(found["kept_bytes"])),
        *([("waits for damage to be mended", format_bytes(waits))] if (waits := found.get("waiting_bytes")) else []),
    )
    named = [Text(digest) for digest in found["files"][:_NAMED]]
    more = len(found["files"]) - len(named)
    return Output(found, shown, [*named, *([Text(f"and {more:,} files more; --json names all")] if more > 0 else [])])


@noun.command("rotate-keys", example="tunery store rotate-keys")
def rotate_keys(wait: Wait = True) -> Output:
    """Wrap the keys of all packs with a new key of the tenant's; no data is rewritten."""
    with Client() as client:
        return sheet(found_by(client, client.store.rotate_keys().job_id, "rotating keys", wait))


@noun.command("rebuild", example="tunery store rebuild")
def rebuild(wait: Wait = True) -> Output:
    """Write the index again from the packs themselves; rows that stand already stay."""
    with Client() as client:
        return sheet(found_by(client, client.store.rebuild().job_id, "rebuilding the index", wait))


def _told(*lines: tuple[str, str]) -> Table:
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for line in lines:
        grid.add_row(*line)
    return grid
