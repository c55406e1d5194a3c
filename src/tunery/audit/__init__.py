"""Who did what, to what, from where: written in the transaction of the deed."""

from tunery.audit.operations import record, record_daily
from tunery.audit.tables import AuditEntry

__all__ = ["AuditEntry", "record", "record_daily"]
