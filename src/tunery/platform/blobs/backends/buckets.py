"""Open a bucket of S3, Google Cloud Storage or Azure through obstore, with bounded retries."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tunery.errors import InvalidInput
from tunery.platform.blobs.backends.remote import RemoteBackend

__all__ = ["SCHEMES", "Bucket", "Patience", "open_bucket"]

SCHEMES = ("s3", "gs", "az")
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_ENDPOINT_OPTION = {"s3": "endpoint", "gs": "base_url", "az": "endpoint"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"disable_bulk_delete": True, "checksum_algorithm": "sha256"},
    "gs": {},
    "az": {},
}
"""Deleting in bulk is a POST, which is not tried again after a time-out, and which not every server knows. With the
checksum a server refuses a body that changed on its way; not every one compares it with the request's signature."""
_MOST_RETRIES = 50
"""More than fit into any ``retry_seconds`` that makes sense: time is the bound, not their number."""


@dataclass(frozen=True)
class Patience:
    """How long one request to object storage may take.

    Attributes:
        request_seconds: One try, from its first byte to its last.
        retry_seconds: After so long no further try begins. While nothing answers, a request therefore ends within
            ``request_seconds + retry_seconds``, and at worst (it failed in the last moment in a way that is tried from
            the start) within ``request_seconds + 2 * retry_seconds``. An upload in parts is several requests.
    """

    request_seconds: float = 60
    retry_seconds: float = 120


@dataclass(frozen=True)
class Bucket:
    """Where objects lie.

    Attributes:
        scheme: ``s3``, ``gs`` or ``az``.
        name: Of the bucket, on Azure of the container.
        prefix: What every name begins with.
        options: For obstore, such as ``region``; what is not here is taken from the environment.
        storage_class: Of every object written; empty: the bucket's own.
    """

    scheme: str
    name: str
    prefix: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    storage_class: str = ""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        return f"{self.scheme}://{self.name}" + (f"/{self.prefix.strip('/')}" if self.prefix.strip("/") else "")

    @property
    def plain_http(self) -> dict[str, str]:
        """The option that lets plain HTTP pass, where the endpoint says ``http://``."""
        given = self.options.get(_ENDPOINT_OPTION[self.scheme])
        endpoint = given or next((os.environ[name] for name in _ENDPOINTS[self.scheme] if os.environ.get(name)), "")
        return {"allow_http": "true"} if endpoint.startswith("http://") else {}


def open_bucket(bucket: Bucket, patience: Patience) -> RemoteBackend:
    """Open a bucket; nothing is asked of it yet.

    Plain HTTP is spoken where the endpoint says ``http://``, as a server in one's own house may.

    Raises:
        InvalidInput: It is no bucket, or an option cannot be used.
    """
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    if not bucket.name:
        raise InvalidInput(f"{bucket.scheme}:// names no bucket; write {bucket.scheme}://bucket/prefix")
    opened: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    try:
        store = opened[bucket.scheme](
            bucket.name,
            prefix=bucket.prefix.strip("/") or None,
            config={**_OPTIONS[bucket.scheme], **bucket.options},
            client_options={
                "allow_http": bool(bucket.plain_http),
                "connect_timeout": timedelta(seconds=min(5, patience.request_seconds)),
                "timeout": timedelta(seconds=patience.request_seconds),
            },
            retry_config={
                "max_retries": _MOST_RETRIES,
                "retry_timeout": timedelta(seconds=patience.retry_seconds),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )
    except (BaseError, ValueError) as error:
        raise InvalidInput(f"{bucket.url} cannot be opened: {str(error).splitlines()[0]}") from error
    attributes = {"Storage-Class": bucket.storage_class} if bucket.storage_class else {}
    return RemoteBackend(store, bucket.url, attributes, patience.retry_seconds)
