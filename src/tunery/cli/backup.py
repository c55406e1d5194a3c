"""``tunery backup``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, confirm, sheet, table
from tunery.cli.waiting import Wait, found_by
from tunery.client import Client
from tunery.errors import IntegrityError, InvalidInput
from tunery.settings import Settings

noun = Noun("backup", "Backups of the whole home: make, list, verify, put back.")


@noun.command("create", example="tunery backup create")
def create(wait: Wait = True) -> Output:
    """Make a backup of database, packs and dataset tables, copying only what is not there yet.

    Packs that are damaged in the store are left out and named; that is a failure, though the rest is in the backup.
    """
    with Client() as client:
        found = found_by(client, client.backup.create().job_id, "making a backup", wait)
    shown = sheet(found)
    lacks = found.get("reason")
    failure = IntegrityError(f"the backup is not complete: {lacks}") if lacks else None
    return Output(shown.data, shown.shown, failure=failure)


@noun.command("list", example="tunery backup list")
def list_backups(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List backups, the newest first; those that are not complete or cannot be read say why."""
    with Client() as client:
        rows = client.backup.list(limit=limit, offset=offset)
        return table(rows, "id", "state", "takenAt", "database", "packs", "sizeBytes", "copiedBytes", "reason")


@noun.command("verify", example="tunery backup verify --quick")
def verify(
    backup: Annotated[str | None, typer.Argument(help="Which backup. Default: the newest.")] = None,
    quick: Annotated[bool, typer.Option(help="Look only whether everything is there with its length.")] = False,
    wait: Wait = True,
) -> Output:
    """Look a backup over before you need it; what is missing or damaged is named, and is a failure.

    The next backup copies what was found damaged anew, as far as the home still has it.
    """
    with Client() as client:
        found = found_by(client, client.backup.verify(backup, quick=quick).job_id, "verifying the backup", wait)
    shown = sheet(found)
    faults = found.get("faults")
    failure = None
    if faults:
        failure = IntegrityError(
            f"the backup has {len(faults)} faults; make another one now, which copies anew what is good here "
            f"(`tunery store check` tells what is not)"
        )
    return Output(shown.data, shown.shown, failure=failure)


@noun.command("restore", example="tunery backup restore --url file:///mnt/backups --confirm")
def restore(
    backup: Annotated[str | None, typer.Argument(help="Which backup. Default: the newest.")] = None,
    url: Annotated[str | None, typer.Option(help="Where it lies. Default: TUNERY_BACKUP_URL.")] = None,
    confirmed: Annotated[bool, typer.Option("--confirm", help="Do not ask.")] = False,
) -> Output:
    """Put a backup back into this machine's home, which must be empty and not be served by anybody.

    First put back what no backup holds: keys/master.key and the folder of wrapped keys (store/keys), from their own
    copies. Everything is looked over before anything is written; interrupted, it is simply repeated.
    """
    from tunery.platform.blobs.opening import configured

    settings = configured(Settings())
    place = url or settings.backup_url
    if not place:
        raise InvalidInput("say where the backup lies: --url, TUNERY_BACKUP_URL, or the store's file of settings")
    if not confirmed:
        confirm(f"Put the backup at {place} back into {settings.home}?")
    from tunery.app import restore as restore_home

    restored = restore_home(settings, place, backup)
    shown, failure = sheet(asdict(restored)), None
    if restored.damaged_packs:
        failure = IntegrityError(
            f"all is put back but what lay in {len(restored.damaged_packs)} packs that {place} lacks or has damaged, "
            f"with it files of {', '.join(restored.damaged_versions) or 'no model version'}: put good copies of these "
            f"packs into the store and run `tunery store rebuild`"
        )
    return Output(shown.data, shown.shown, failure=failure)
