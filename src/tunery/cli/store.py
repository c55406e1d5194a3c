"""``tunery store``."""

from __future__ import annotations

from typing import Annotated

import typer

from tunery.cli.noun import Noun
from tunery.cli.output import Output, sheet, table
from tunery.cli.waiting import Wait, found_by
from tunery.client import Client
from tunery.errors import IntegrityError

noun = Noun("store", "Where the bytes lie: usage, check, collection, keys.")


@noun.command("usage", example="tunery store usage")
def usage() -> Output:
    """Show how much lies in the store, by codec and by model, and what it saves."""
    with Client() as client:
        use = client.store.usage()
    shown = sheet(use, "files", "logicalBytes", "uniqueBytes", "storedBytes", "pinnedBytes", "savedShare")
    parts = [
        table(use.codecs, "codec", "segments", "plainBytes", "storedBytes", empty="no segments yet").shown,
        table(use.models, "model", "versions", "logicalBytes", "storedBytes", empty="no models yet").shown,
    ]
    return Output(shown.data, shown.shown, [part for part in parts if part])


@noun.command("quota", example="tunery store quota")
def quota() -> Output:
    """Show how much is stored and reserved, and how much may be."""
    with Client() as client:
        return sheet(client.store.quota())


@noun.command("set-quota", example="tunery store set-quota acme --limit-bytes 500000000000")
def set_quota(
    tenant: Annotated[str, typer.Argument(help="Name of the tenant.")],
    limit_bytes: Annotated[int | None, typer.Option(min=0, help="Bytes in the store. Default: no limit.")] = None,
) -> Output:
    """Set how much a tenant may store; for the operator."""
    with Client() as client:
        return sheet(client.store.set_quota(tenant, limit_bytes))


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
    failure = IntegrityError(f"{left} damages are left; mend them with --repair URL") if left else None
    return Output(found, grid.shown if "damages" in found else sheet(found).shown, failure=failure)


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
        return sheet(found_by(client, job.job_id, "collecting bytes", wait))


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
