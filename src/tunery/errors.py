"""The error tree.

    TuneryError                         code                 status  kind
    ├── InvalidInput                    invalid_input        422     invalid
    │   ├── MalformedRequest            malformed_request    400     invalid
    │   ├── MethodNotAllowed            method_not_allowed   405     invalid
    │   ├── DigestInvalid               digest_invalid       400     invalid
    │   ├── DigestMismatch              digest_mismatch      422     invalid
    │   ├── PathInvalid                 path_invalid         400     invalid
    │   ├── UnsupportedMedia            unsupported_media    415     invalid
    │   ├── RecipeInvalid               recipe_invalid       422     invalid
    │   ├── RowInvalid                  row_invalid          422     invalid
    │   ├── FormatInvalid               format_invalid       422     invalid
    │   ├── UnsafeFormat                unsafe_format        409     refused
    │   ├── UrlNotAllowed               url_not_allowed      400     invalid
    │   ├── SourceLimit                 source_limit         413     invalid
    │   └── TooLarge                    too_large            413     invalid
    ├── Unauthenticated                 unauthenticated      401     unauthenticated
    ├── Forbidden                       forbidden            403     forbidden
    ├── NotFound                        not_found            404     not_found
    │   └── Erased                      erased               410     not_found
    ├── Conflict                        conflict             409     conflict
    │   ├── StaleState                  stale_state          409     conflict
    │   └── IdempotencyMismatch         idempotency_mismatch 409     conflict
    ├── Refused                         refused              409     refused
    │   ├── GateFailed                  gate_failed          409     refused
    │   ├── SignatureInvalid            signature_invalid    409     refused
    │   ├── SchemaNewer                 schema_newer         409     refused
    │   ├── SchemaUnreleased            schema_unreleased    409     refused
    │   └── Cancelled                   cancelled            409     refused
    ├── Exhausted                       exhausted            507     exhausted
    │   └── RateLimited                 rate_limited         429     exhausted
    ├── Unavailable                     unavailable          503     unavailable
    │   ├── MissingExtra                missing_extra        503     unavailable
    │   └── EngineFailed                engine_failed        503     unavailable
    └── InternalError                   internal             500     internal
        └── IntegrityError              integrity_error      500     internal

Each class carries a stable ``code``, its HTTP ``status`` and a ``kind``; the kind decides the exit code of the command
line and the page shown. The docstring is the default message: what happened, what still stands, what to do next. A
client rebuilds the same class from the code, so codes never change.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "EXIT_CODES",
    "Cancelled",
    "Conflict",
    "DigestInvalid",
    "DigestMismatch",
    "EngineFailed",
    "Erased",
    "Exhausted",
    "Forbidden",
    "FormatInvalid",
    "GateFailed",
    "IdempotencyMismatch",
    "IntegrityError",
    "InternalError",
    "InvalidInput",
    "MalformedRequest",
    "MethodNotAllowed",
    "MissingExtra",
    "NotFound",
    "PathInvalid",
    "RateLimited",
    "RecipeInvalid",
    "Refused",
    "RowInvalid",
    "SchemaNewer",
    "SchemaUnreleased",
    "SignatureInvalid",
    "SourceLimit",
    "StaleState",
    "TooLarge",
    "TuneryError",
    "Unauthenticated",
    "Unavailable",
    "UnsafeFormat",
    "UnsupportedMedia",
    "UrlNotAllowed",
    "error_from_problem",
]

EXIT_CODES: dict[str, int] = {
    "invalid": 2,
    "unauthenticated": 3,
    "forbidden": 3,
    "not_found": 4,
    "conflict": 5,
    "refused": 6,
    "exhausted": 7,
    "unavailable": 8,
    "internal": 1,
}
"""Exit code of the command line by error kind."""


class TuneryError(Exception):
    """Something went wrong in Tunery."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"

    def __init__(self, message: str | None = None, /, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()
        self.details: dict[str, Any] = details
        super().__init__(self.message)

    @property
    def shown(self) -> dict[str, Any]:
        """The details that answers show; where a log lies is for those alone who keep the machine."""
        return {name: value for name, value in self.details.items() if name != "log"}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)


def _rebuild(cls: type[TuneryError], message: str, details: dict[str, Any]) -> TuneryError:
    return cls(message, **details)


class InvalidInput(TuneryError):
    """The input is well formed but not valid; nothing was changed. Correct the fields that are named and try again."""

    code, status, kind = "invalid_input", 422, "invalid"


class MalformedRequest(InvalidInput):
    """The request could not be read; nothing was changed. Check its syntax and its headers."""

    code, status = "malformed_request", 400


class MethodNotAllowed(InvalidInput):
    """There is something at this address, but not by this method; nothing was changed. /api/docs lists the calls."""

    code, status = "method_not_allowed", 405


class DigestInvalid(InvalidInput):
    """This is no digest; nothing was changed. A digest is 64 lower-case hex digits (SHA-256)."""

    code, status = "digest_invalid", 400


class DigestMismatch(InvalidInput):
    """The bytes do not have the digest that was named; nothing was kept. Send them again."""

    code = "digest_mismatch"


class PathInvalid(InvalidInput):
    """A file path is not safe on every disk; nothing was kept. Use plain relative names without ``..``."""

    code, status = "path_invalid", 400


class UnsupportedMedia(InvalidInput):
    """The body is of a kind that is not read here; nothing was changed. Send plain JSON, or bytes as they are."""

    code, status = "unsupported_media", 415


class RecipeInvalid(InvalidInput):
    """The recipe has faults; nothing was started. Correct every fault that is named and run it again."""

    code = "recipe_invalid"


class RowInvalid(InvalidInput):
    """A row of the data could not be read; the import stopped and nothing of it is visible.

    Correct the line that is named, or import with ``--on-error quarantine`` to set such rows aside.
    """

    code = "row_invalid"


class FormatInvalid(InvalidInput):
    """A file is not what its format says; nothing of it was kept. Make the file anew from its source."""

    code = "format_invalid"


class UnsafeFormat(InvalidInput):
    """The file can run code when it is loaded (pickle), so no model is made of it. Convert it to safetensors.

    Model files are looked at when a model is registered; bytes that were only uploaded are kept, and never loaded.
    """

    code, status, kind = "unsafe_format", 409, "refused"


class UrlNotAllowed(InvalidInput):
    """Data is fetched from public web addresses alone; nothing was asked. Upload the file instead."""

    code, status = "url_not_allowed", 400


class SourceLimit(InvalidInput):
    """A source sent more, or took longer, than is allowed; nothing was kept. Download the file and upload it."""

    code, status = "source_limit", 413


class TooLarge(InvalidInput):
    """The input is larger than the limit; nothing was kept. Send less, or raise the limit in the settings."""

    code, status = "too_large", 413


class Unauthenticated(TuneryError):
    """No valid token came with the request. Send ``Authorization: Bearer ...``; ``tunery tokens create`` makes one."""

    code, status, kind = "unauthenticated", 401, "unauthenticated"


class Forbidden(TuneryError):
    """Your roles do not allow this; nothing was changed. Ask an administrator for the permission named."""

    code, status, kind = "forbidden", 403, "forbidden"


class NotFound(TuneryError):
    """There is nothing of that name here. List what exists with the noun's ``list`` command."""

    code, status, kind = "not_found", 404, "not_found"


class Erased(NotFound):
    """This was erased on purpose and does not come back. The message names what follows it, where something does."""

    code, status = "erased", 410


class Conflict(TuneryError):
    """This collides with what already stands; nothing was changed. Look at the current state and decide anew."""

    code, status, kind = "conflict", 409, "conflict"


class StaleState(Conflict):
    """Someone else changed this since you looked; nothing was changed. Read it again and repeat what you still want."""

    code = "stale_state"


class IdempotencyMismatch(Conflict):
    """This idempotency key came before with another request; nothing was changed. Use a new key for a new request."""

    code = "idempotency_mismatch"


class Refused(TuneryError):
    """A rule forbids this; nothing was changed. The message names the rule."""

    code, status, kind = "refused", 409, "refused"


class GateFailed(Refused):
    """The gate did not pass; nothing was promoted or deployed. The verdict lists each criterion with its evidence."""

    code = "gate_failed"


class SignatureInvalid(Refused):
    """The signature does not fit the bytes; nothing was loaded or served. Restore the version from a good copy."""

    code = "signature_invalid"


class SchemaNewer(Refused):
    """The database was written by a newer Tunery; nothing was touched. Install that version or a later one."""

    code = "schema_newer"


class SchemaUnreleased(Refused):
    """A development version made the database; its data is not carried over. Begin anew, or go on with that version."""

    code = "schema_unreleased"


class Cancelled(Refused):
    """The job was cancelled; what it had finished still stands. Run the same command again to go on."""

    code = "cancelled"


class Exhausted(TuneryError):
    """Disk or quota is used up; what was stored before still stands. Free space and repeat the command: it goes on."""

    code, status, kind = "exhausted", 507, "exhausted"


class RateLimited(Exhausted):
    """That was asked for too often; nothing was done. Wait as long as the message says."""

    code, status = "rate_limited", 429


class Unavailable(TuneryError):
    """Something this needs does not answer right now; nothing was changed. Try again in a moment."""

    code, status, kind = "unavailable", 503, "unavailable"


class MissingExtra(Unavailable):
    """A library for this is not installed. Install it with the line that is named."""

    code = "missing_extra"


class EngineFailed(Unavailable):
    """The inference engine did not start or stopped answering. Its log is named; the model itself is unharmed."""

    code = "engine_failed"


class InternalError(TuneryError):
    """Tunery met a fault of its own; the deed was rolled back. Please report it with the request id."""

    code, status, kind = "internal", 500, "internal"


class IntegrityError(InternalError):
    """Stored bytes do not match their digest; they were not used. Restore them from a backup, then check the store."""

    code = "integrity_error"


def error_from_problem(problem: dict[str, Any]) -> TuneryError:
    """Rebuild the error that a server described as problem JSON (RFC 9457); unknown codes become ``TuneryError``."""
    cls = _classes().get(str(problem.get("code")), TuneryError)
    extra = {k: v for k, v in problem.items() if k not in {"type", "title", "status", "code", "detail", "instance"}}
    return cls(str(problem.get("detail") or problem.get("title") or ""), **extra)


def _classes(root: type[TuneryError] = TuneryError) -> dict[str, type[TuneryError]]:
    found = {root.code: root}
    for sub in root.__subclasses__():
        found.update(_classes(sub))
    return found
