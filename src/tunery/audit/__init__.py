"""Who did what, to what, from where: written in the transaction of the deed."""

from tunery.audit.operations import record
from tunery.audit.tables import AuditEntry

__all__ = ["AuditEntry", "record"]
