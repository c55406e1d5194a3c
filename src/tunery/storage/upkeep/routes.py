"""Routes of the store's upkeep."""

from __future__ import annotations

from tunery.datasets.views import JobStarted
from tunery.platform.http import Call, route
from tunery.storage.upkeep import operations
from tunery.storage.upkeep.schemas import CheckWish, CollectWish, UsageView

__all__: list[str] = []


@route("store.usage", "GET", "/store/usage", permission="store:read")
def usage(call: Call) -> UsageView:
    """Show how much lies in the store, by codec and by model, and what it saves."""
    return operations.usage_of(call.session)


@route("store.check", "POST", "/store/check", permission="store:maintain", status=202)
def check(call: Call, body: CheckWish) -> JobStarted:
    """Look every byte over; damage is named, and mended from a mirror."""
    return JobStarted(job_id=operations.start_check(call.session, call.ground, call.actor, body).id)


@route("store.gc", "POST", "/store/gc", permission="store:maintain", status=202)
def collect(call: Call, body: CollectWish) -> JobStarted:
    """Give back the bytes that no row names any more."""
    return JobStarted(job_id=operations.start_collection(call.session, call.ground, call.actor, body).id)


@route("store.rotate_keys", "POST", "/store/rotate-keys", permission="store:maintain", status=202)
def rotate_keys(call: Call) -> JobStarted:
    """Wrap the keys of all packs with a new key of the tenant's; no data is rewritten."""
    return JobStarted(job_id=operations.start_rotation(call.session, call.actor).id)


@route("store.rebuild", "POST", "/store/rebuild", permission="store:maintain", status=202)
def rebuild(call: Call) -> JobStarted:
    """Write the index again from the packs themselves, and the logs of datasets from the database."""
    return JobStarted(job_id=operations.start_rebuild(call.session, call.actor).id)
