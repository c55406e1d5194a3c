"""Who acts, for whom."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Actor"]


@dataclass(frozen=True)
class Actor:
    """The one who acts in a request or a job.

    Attributes:
        tenant_id: The tenant on whose things the actor works.
        user_id: The user, or None for the system itself.
        name: What audit rows show (an e-mail address, ``local-owner``, ``system``).
        roles: Names of the roles held in this tenant.
        permissions: What the roles allow, such as ``models:read``; ``models:*`` stands for all of a noun.
        source_ip: Address the request came from; empty for local and system actors.
        user_agent: The program that asked; empty where none did.
    """

    tenant_id: str
    user_id: str | None
    name: str
    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    source_ip: str = ""
    user_agent: str = ""

    def may(self, permission: str) -> bool:
        """Tell whether the roles allow ``noun:verb``."""
        noun = permission.split(":", 1)[0]
        return permission in self.permissions or f"{noun}:*" in self.permissions
