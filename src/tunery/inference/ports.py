"""What an engine is: a child process that serves one base model and its adapters to the one who holds its key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tunery.errors import InvalidInput
from tunery.kit.digests import check_digest
from tunery.plugins import Registry

__all__ = ["ENGINES", "AdapterSpec", "Engine", "EngineSpec", "RunningEngine"]


@dataclass(frozen=True)
class AdapterSpec:
    """An adapter to keep resident.

    Attributes:
        name: What requests call it.
        dir: Folder in peft's layout (``adapter_config.json``, ``adapter_model.safetensors``).
        digest: SHA-256 of the adapter artifact, 64 hex digits; conversions are kept under it.
    """

    name: str
    dir: Path
    digest: str


@dataclass(frozen=True)
class EngineSpec:
    """One base model with its adapters, and what it may use.

    Attributes:
        model_dir: Folder in transformers' layout (``config.json``, ``*.safetensors``, tokenizer, chat template).
        model_digest: SHA-256 of the base artifact, 64 hex digits; conversions are kept under it.
        cache_dir: Folder for converted files; engines may share it.
        work_dir: Folder for logs; private to this machine's Tunery.
        adapters: Adapters that requests may name.
        context_length: Tokens of prompt and answer together that one request may use, at most what the model allows.
        slots: Requests answered at the same time.
        threads: CPU threads; None means all that this process may use.
    """

    model_dir: Path
    model_digest: str
    cache_dir: Path
    work_dir: Path
    adapters: tuple[AdapterSpec, ...] = ()
    context_length: int = 2048
    slots: int = 4
    threads: int | None = None

    def __post_init__(self) -> None:
        for digest in (self.model_digest, *(adapter.digest for adapter in self.adapters)):
            check_digest(digest)
        names = [adapter.name for adapter in self.adapters]
        if len(set(names)) != len(names):
            raise InvalidInput(f"two adapters of one engine have the same name: {', '.join(sorted(names))}")


class RunningEngine(Protocol):
    """A healthy engine process. It also is a context manager that stops the engine at its end.

    Attributes:
        name: Name of the engine in ``ENGINES``.
        spec: What it serves; ``context_length`` is the one in force.
        url: Address on loopback, such as ``http://127.0.0.1:41235``; OpenAI paths below ``/v1``.
        key: The key that must come as ``Authorization: Bearer``; it leaves this process only towards the engine.
        pid: Process id, which is its process group's id too.
        log_path: Where its output goes.
        template_digest: SHA-256 of the chat template that shapes prompts; None where the model has none.
        can_score: Whether ``POST /score`` is there.
    """

    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> EngineSpec: ...
    @property
    def url(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def log_path(self) -> Path: ...
    @property
    def template_digest(self) -> str | None: ...
    @property
    def can_score(self) -> bool: ...

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        ...

    def stop(self) -> None:
        """End the whole process group and wait for it; stopping twice is fine."""
        ...

    def request(self, body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
        """Turn an OpenAI chat or completion body into the body that makes this engine answer with that adapter.

        Args:
            body: As it came from outside; nothing passes that is not a known field with a valid value.
            adapter: Name of one of the spec's adapters, or None for the base alone.

        Raises:
            MalformedRequest: names every field at fault. NotFound: no such adapter (never the base instead).
        """
        ...

    def __enter__(self) -> RunningEngine: ...
    def __exit__(self, *exception: object) -> None: ...


class Engine(Protocol):
    """One way to run a model."""

    @property
    def name(self) -> str: ...

    def start(self, spec: EngineSpec, *, timeout_seconds: float = 300.0) -> RunningEngine:
        """Start serving and return once the engine is healthy; blocks.

        Args:
            spec: What to serve.
            timeout_seconds: Bound on the whole start, a first conversion of the weights included.

        Raises:
            EngineFailed: it ended or did not become healthy in time; names the log and shows its end.
            FormatInvalid: the model folder's JSON files cannot be read. MissingExtra: a library is not installed.
        """
        ...


ENGINES: Registry[Engine] = Registry(
    "engine", builtins=("tunery.inference.engines.llama_cpp", "tunery.inference.engines.transformers")
)
"""Engines by name."""
