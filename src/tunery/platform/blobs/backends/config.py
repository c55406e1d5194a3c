"""The ``storage_backend`` block of one JSON file: where packs lie and how (R2: local, s3, gcs, azure).

What each field does here, and what it leaves to the bucket's own settings, is told in ``docs/storage.md``.
"""

from __future__ import annotations

import json
import os
import re
from abc import abstractmethod
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from tunery.errors import InvalidInput
from tunery.kit.faults import fault_line, faults_of
from tunery.platform.blobs.backends.buckets import Bucket, Patience, open_bucket
from tunery.platform.blobs.backends.local import LocalBackend
from tunery.platform.blobs.backends.port import Backend

__all__ = ["Backup", "Compression", "StoreConfig", "read_store_config"]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_ASLEEP = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE"}
"""Classes whose objects answer only hours after somebody asked for them back."""


def _duration(given: Any) -> Any:
    found = re.fullmatch(r"(\d{1,4})_(day|week|month|year)s?", given) if isinstance(given, str) else None
    if found is None:
        raise ValueError("write a number and a unit, such as 30_days or 1_year")
    return timedelta(days=int(found[1]) * _DAYS[found[2]])


def _awake(given: str) -> str:
    if given.upper() in _ASLEEP:
        raise ValueError("objects of this class cannot be read when they are needed; take one that answers at once")
    return given.upper()


Duration = Annotated[timedelta, BeforeValidator(_duration)]
StorageClass = Annotated[str, AfterValidator(_awake)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Compression(_Block):
    """Whether segments are made smaller, and how small; by what is chosen for each, whatever ``algorithm`` says."""

    enabled: bool = True
    algorithm: Literal["gzip", "zstd"] = "zstd"
    level: int = Field(3, ge=1, le=22)


class Backup(_Block):
    """When copies are made, where, and for how long they are kept."""

    enabled: bool = True
    frequency: Literal["hourly", "daily", "weekly", "monthly"] = "daily"
    retention: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=30)
    location: str = Field(min_length=1)


class Encryption(_Block):
    """What the provider does on top of Tunery's own sealing, which is always on."""

    enabled: bool = True
    kms_key_id: str = ""


class _BucketsOwnKey(Encryption):
    @model_validator(mode="after")
    def _no_key(self) -> _BucketsOwnKey:
        if self.kms_key_id:
            raise ValueError("the key cannot be named with each object here; make it the default key of the bucket")
        return self


class Lifecycle(_Block):
    """Rules that the bucket is to have."""

    delete_non_current_versions_after: Duration | None = None
    transition_to_glacier_after: Duration | None = None


class Versioning(_Block):
    """Whether the bucket keeps versions, and its rules."""

    enabled: bool = False
    lifecycle_policy: Lifecycle = Lifecycle()


class _Shared(_Block):
    compression: Compression = Compression()
    backup: Backup | None = None


class LocalConfig(_Shared):
    """A folder of this machine."""

    base_path: Path
    structure: Literal["hierarchical"] = "hierarchical"

    def open(self, patience: Patience) -> Backend:
        """Open the folder."""
        return LocalBackend(self.base_path.expanduser().absolute())


class _Bucket(_Shared):
    endpoint: str = Field("", pattern=r"^(https?://\S+)?$")
    prefix: str = ""
    storage_class: StorageClass = ""
    versioning: Versioning = Versioning()

    @property
    @abstractmethod
    def place(self) -> Bucket:
        """The bucket with its options."""

    def open(self, patience: Patience) -> Backend:
        """Open the bucket."""
        return open_bucket(self.place, patience)


class S3Config(_Bucket):
    """S3 or a server that speaks as it does."""

    bucket: str = Field(min_length=3)
    region: str = ""
    access_key_id: SecretStr = SecretStr("")
    secret_access_key: SecretStr = SecretStr("")
    session_token: SecretStr = SecretStr("")
    encryption: Encryption = Encryption(enabled=False)

    @property
    def place(self) -> Bucket:
        """The bucket with its options."""
        kms = self.encryption.kms_key_id
        algorithm = ("aws:kms" if kms else "AES256") if self.encryption.enabled else ""
        options = {
            "region": self.region,
            "endpoint": self.endpoint,
            "access_key_id": self.access_key_id.get_secret_value(),
            "secret_access_key": self.secret_access_key.get_secret_value(),
            "session_token": self.session_token.get_secret_value(),
            "server_side_encryption": algorithm,
            "sse_kms_key_id": kms if self.encryption.enabled else "",
        }
        return Bucket("s3", self.bucket, self.prefix, _given(options), self.storage_class)


class GCSConfig(_Bucket):
    """Google Cloud Storage."""

    bucket: str = Field(min_length=3)
    service_account: str = ""
    service_account_key: SecretStr = SecretStr("")
    encryption: _BucketsOwnKey = _BucketsOwnKey(enabled=False)

    @property
    def place(self) -> Bucket:
        """The bucket with its options."""
        options = {
            "service_account": self.service_account,
            "service_account_key": self.service_account_key.get_secret_value(),
            "base_url": self.endpoint,
        }
        return Bucket("gs", self.bucket, self.prefix, _given(options), self.storage_class)


class AzureConfig(_Bucket):
    """Azure Blob Storage."""

    container: str = Field(min_length=3)
    account_name: str = ""
    account_key: SecretStr = SecretStr("")
    sas_token: SecretStr = SecretStr("")
    encryption: _BucketsOwnKey = _BucketsOwnKey(enabled=False)

    @property
    def place(self) -> Bucket:
        """The container with its options."""
        options = {
            "account_name": self.account_name,
            "account_key": self.account_key.get_secret_value(),
            "sas_key": self.sas_token.get_secret_value(),
            "endpoint": self.endpoint,
        }
        return Bucket("az", self.container, self.prefix, _given(options), self.storage_class.capitalize())


class Local(_Block):
    """``type: local``."""

    type: Literal["local"]
    config: LocalConfig


class S3(_Block):
    """``type: s3``."""

    type: Literal["s3"]
    config: S3Config


class GCS(_Block):
    """``type: gcs``."""

    type: Literal["gcs"]
    config: GCSConfig


class Azure(_Block):
    """``type: azure``."""

    type: Literal["azure"]
    config: AzureConfig


class StoreConfig(_Block):
    """Where packs lie and how."""

    storage_backend: Annotated[Local | S3 | GCS | Azure, Field(discriminator="type")]

    @property
    def compression(self) -> Compression:
        """Whether segments are made smaller."""
        return self.storage_backend.config.compression

    @property
    def backup(self) -> Backup | None:
        """When and where copies are made, if that is said."""
        return self.storage_backend.config.backup

    def open(self, patience: Patience | None = None) -> Backend:
        """Open the place; nothing is asked of it yet. Raises: InvalidInput: an option cannot be used."""
        return self.storage_backend.config.open(patience or Patience())

    @property
    def bucket(self) -> Bucket | None:
        """The bucket, where the place is one."""
        config = self.storage_backend.config
        return config.place if isinstance(config, _Bucket) else None


def read_store_config(path: Path) -> StoreConfig:
    """Read a file with a ``storage_backend`` block; ``${VAR}`` in any of its texts stands for that variable.

    Raises:
        InvalidInput: Names every fault with its path in the file; ``details["faults"]`` lists them.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}") from error
    faults: list[str] = []
    filled = _filled(data, "", faults)
    try:
        config = StoreConfig.model_validate(filled)
    except ValidationError as error:
        unset = {fault.split(":")[0] for fault in faults}
        told = faults_of(error.errors(), StoreConfig, filled)
        faults += [
            fault_line(fault | {"path": fault["path"] or "the file"}) for fault in told if fault["path"] not in unset
        ]
    if faults:
        raise InvalidInput(f"{path} has faults: {'; '.join(faults)}", faults=faults)
    return config


def _filled(data: Any, path: str, faults: list[str]) -> Any:
    if isinstance(data, dict):
        return {key: _filled(value, f"{path}.{key}".lstrip("."), faults) for key, value in data.items()}
    if isinstance(data, list):
        return [_filled(value, f"{path}.{number}", faults) for number, value in enumerate(data)]
    if not isinstance(data, str):
        return data
    unset = [name for name in _VARIABLE.findall(data) if not os.environ.get(name)]
    faults += [f"{path}: the variable {name} is not set" for name in unset]
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), data)


def _given(options: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}
