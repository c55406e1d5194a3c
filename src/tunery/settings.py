"""Every setting: name, type, unit, default and one sentence. Read from ``TUNERY_*`` variables and a ``.env`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]


class Settings(BaseSettings):
    """The settings of one Tunery. ``docs/settings.md`` lists them; a test keeps the list complete."""

    model_config = SettingsConfigDict(env_prefix="TUNERY_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(Path("~/.tunery"), description="Folder that holds all data: database, blobs, keys, logs.")
    database_url: str = Field("", description="SQLAlchemy URL of the database; empty: SQLite in the home folder.")
    database_admin_url: str = Field(
        "", description="URL of the role that owns the schema and migrates it; empty: the database URL itself."
    )
    store_url: str = Field(
        "", description="Where packs of bytes lie: file://, s3://, gs:// or az://; empty: in the home folder."
    )
    store_config: Path | None = Field(
        None, description="JSON file with a `storage_backend` block (docs/storage.md), instead of the URL above."
    )
    store_request_seconds: float = Field(
        60, gt=0, description="Seconds that one request to object storage may take, from its first byte to its last."
    )
    store_retry_seconds: float = Field(
        120, ge=0, description="Seconds after which a failed request to object storage is not tried again."
    )
    store_keys_url: str = Field(
        "", description="Where their wrapped keys lie, outside every backup of the packs; empty: in the home folder."
    )
    master_key: str = Field(
        "", description="Master key: base64 of 32 bytes, older ones after commas; empty: `keys/master.key` at home."
    )
    master_key_source: str = Field(
        "", description="Plug-in that gives the master key from a key management service; empty: the above."
    )
    subject_traces_per_minute: int = Field(
        30, ge=1, description="Persons that one user may trace within a minute; the answers tell who is in the data."
    )
    store_grace_hours: float = Field(
        24, ge=1, description="Hours for which bytes that nothing names are kept; longer than the longest upload."
    )
    unsafe_files: Literal["refuse", "quarantine"] = Field(
        "refuse",
        description="Model files that can run code when they are loaded (pickle, archives), as a model is registered: "
        "refuse them, or keep them in quarantine, where nothing ever loads them. Uploads alone are bytes of any kind.",
    )
    backup_url: str = Field(
        "", description="Where backups lie: file://, s3://, gs:// or az://; empty: none are made. Not inside the home."
    )
    backup_every_hours: float = Field(
        24, ge=0.25, description="Hours from one backup to the next, where there is a place for them."
    )
    backup_retention_days: int = Field(
        30, ge=1, le=36_500, description="Days for which backups are kept; the newest stays in any case."
    )
    url: str = Field("", description="Address of a Tunery server for the client; empty: this machine.")
    token: str = Field("", description="API token for the client; empty: the home folder's owner token.")
    host: str = Field("127.0.0.1", description="Address to listen on; others than loopback need tokens.")
    port: int = Field(8800, ge=0, le=65535, description="Port to listen on.")
    allowed_hosts: list[str] = Field(
        [], description="Host names that requests may carry besides loopback names and the address listened on."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="Log lines for people or for machines.")
    offline: bool = Field(False, description="Never ask the Hugging Face Hub; use only what its cache holds.")
    hub_token_shared: bool = Field(
        False,
        description="Let every tenant fetch with this server's HF_TOKEN and cache; else the first alone does, and the "
        "others get what is public.",
    )
    threads: int = Field(0, ge=0, description="CPU threads for training and inference; 0 means all physical cores.")
    engine: str = Field("llama.cpp", description="Inference engine for evaluation and serving where none is named.")
    engine_slots: int = Field(8, ge=1, le=64, description="Answers that one engine writes at the same time.")
    context_length: int = Field(2048, ge=128, description="Tokens of context of an engine, at most the model's own.")
    engine_start_seconds: float = Field(300, gt=0, description="Seconds an engine may take until it answers.")
    max_upload_bytes: int = Field(200_000_000_000, gt=0, description="Largest upload, in bytes.")
    upload_expiry_hours: float = Field(
        24, gt=0, description="Hours without a new part after which an upload in parts is given up."
    )
    max_request_bytes: int = Field(10_000_000, gt=0, description="Largest body of an inference request, in bytes.")
    source_hosts: list[str] = Field(
        [], description="Host names that data may be fetched from by URL though their addresses are not public."
    )
    max_row_bytes: int = Field(10_000_000, gt=0, description="Longest line of a data file, in bytes.")
    query_seconds: float = Field(60, gt=0, le=3600, description="Seconds that a query over datasets may take.")
    query_memory_bytes: int = Field(
        1_000_000_000, ge=100_000_000, description="Memory that a query over datasets may take, in bytes."
    )
    idempotency_seconds: float = Field(
        86_400, gt=0, description="Seconds during which a call repeated with its key gets the first answer."
    )
    worker_name: str = Field("", description="Stable name of this worker, one for each; empty: the host's, or `local`.")
    worker_slots: int = Field(4, ge=1, le=64, description="Light jobs at a time on one worker; heavy ones run alone.")
    lease_seconds: float = Field(30, gt=1, description="Seconds without a heartbeat after which a job is taken over.")
    max_job_crashes: int = Field(5, ge=1, description="Crashes in a row without progress after which a job is failed.")
    grant_cache_seconds: float = Field(5, ge=0, le=60, description="Longest time a revoked token may still work.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def effective_database_url(self) -> str:
        """The database URL with its default filled in."""
        return self.database_url or f"sqlite:///{self.home / 'tunery.sqlite'}"

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is the embedded one."""
        return self.effective_database_url.startswith("sqlite")

    def folder(self, *parts: str) -> Path:
        """Return a folder inside the home folder, made with mode 0700 if it was not there."""
        path = self.home.joinpath(*parts)
        for step in (self.home, *reversed([p for p in path.parents if self.home in p.parents]), path):
            step.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path
