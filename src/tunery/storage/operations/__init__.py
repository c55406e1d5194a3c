"""Use cases of the store."""

from tunery.storage.operations.bodies import put_body
from tunery.storage.operations.expiring import sweep_uploads
from tunery.storage.operations.quotas import list_tenants, set_quota
from tunery.storage.operations.uploads import (
    abort_upload,
    claim_file,
    complete_upload,
    create_upload,
    get_upload,
    keep_part,
    list_uploads,
    part_count,
    parts_of,
)

__all__ = [
    "abort_upload",
    "claim_file",
    "complete_upload",
    "create_upload",
    "get_upload",
    "keep_part",
    "list_tenants",
    "list_uploads",
    "part_count",
    "parts_of",
    "put_body",
    "set_quota",
    "sweep_uploads",
]
