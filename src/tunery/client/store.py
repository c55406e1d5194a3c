"""The store: how much lies in it, whether it is whole, what may go."""

from __future__ import annotations

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.datasets.views import JobStarted
from tunery.storage.schemas import QuotaSet, QuotaView, TenantUseView
from tunery.storage.upkeep.schemas import UsageView

__all__ = ["Store"]


class Store(Noun):
    """Where the bytes lie. What takes long is a job; its result says what was found."""

    def usage(self) -> UsageView:
        """Show how much lies in the store, by codec and by model, and what it saves."""
        return view(UsageView, self._get(path_of("store", "usage")))

    def quota(self) -> QuotaView:
        """Show how much is stored and reserved, and how much may be."""
        return view(QuotaView, self._get(path_of("store", "quota")))

    def set_quota(self, tenant: str, limit_bytes: int | None) -> QuotaView:
        """Set how much a tenant may store, none: no limit; for the operator. What is stored stays."""
        wish = QuotaSet(tenant=tenant, limit_bytes=limit_bytes)
        return view(QuotaView, self._send("PUT", path_of("store", "quota"), wish))

    def tenants(self) -> Page[TenantUseView]:
        """List what each tenant keeps and may, the most first; for the operator."""
        return self._page(TenantUseView, path_of("store", "tenants"))

    def check(self, *, quick: bool = False, repair_url: str | None = None) -> JobStarted:
        """Look every byte over; the job's result lists damages with packs, segments, files and who needs them.

        Args:
            quick: Compare packs with their checksums only.
            repair_url: Mend from good packs there; ``backup`` takes those of the backup.
        """
        return self._job("check", {"quick": quick, "repairUrl": repair_url})

    def gc(self, *, dry_run: bool = False, grace_hours: float | None = None) -> JobStarted:
        """Give back the bytes that no row names any more; the job's result names them.

        Args:
            dry_run: Say what would go, and leave it.
            grace_hours: Spare what was touched within, at least 1; none: the server's setting.
        """
        return self._job("gc", {"dryRun": dry_run, "graceHours": grace_hours})

    def rotate_keys(self) -> JobStarted:
        """Wrap the keys of all packs with a new key of the tenant's; no data is rewritten."""
        return self._job("rotate-keys")

    def rebuild(self) -> JobStarted:
        """Write the index again from the packs themselves, after the database was lost or put back from older days."""
        return self._job("rebuild")

    def _job(self, verb: str, wish: dict[str, object] | None = None) -> JobStarted:
        return view(JobStarted, self._send("POST", path_of("store", verb), wish))
