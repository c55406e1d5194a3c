"""One request and its engine: the lease, the headers that say who answers, the numbers, booked once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from tunery.serving.directory import Route
from tunery.serving.engine_group import HeldEngine
from tunery.serving.engine_pool import EnginePool
from tunery.serving.gateway.metrics import FIRST_TOKEN_SECONDS, REQUESTS, TOKENS
from tunery.serving.targets import Member

__all__ = ["Exchange"]

_FIELDS = ("id", "object", "created", "choices")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass
class Exchange:
    """One request that holds a lease until ``close``."""

    pool: EnginePool
    route: Route
    member: Member
    held: HeldEngine
    started: float = field(default_factory=time.perf_counter)
    outcome: str = "gone"
    pieces: int = 0
    usage: dict[str, Any] | None = None
    streams: bool = False
    closed: bool = False

    def headers(self) -> dict[str, str]:
        """Return what answered: version, base, adapter and chat template by their digests, and the engine."""
        engine = self.held.engine
        found = {
            "X-Tunery-Deployment": self.route.name,
            "X-Tunery-Model": self.member.reference,
            "X-Tunery-Version-Digest": self.member.digest,
            "X-Tunery-Base-Digest": self.member.key.base_digest,
            "X-Tunery-Adapter-Digest": self.member.adapter,
            "X-Tunery-Template-Digest": engine.template_digest,
            "X-Tunery-Engine": engine.name,
        }
        return {name: value for name, value in found.items() if value} | {"Cache-Control": "no-store"}

    def shaped(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an engine's answer, or a chunk of it, with OpenAI's fields alone; keeps its token counts."""
        shown = {name: answer[name] for name in _FIELDS if name in answer} | {"model": self.member.reference}
        if isinstance(answer.get("usage"), dict):
            self.usage = {name: answer["usage"].get(name, 0) for name in _COUNTS}
            shown["usage"] = self.usage
        return shown

    def note_text(self) -> None:
        """Note a piece of text that goes out."""
        if not self.pieces:
            FIRST_TOKEN_SECONDS.labels(self.route.label).observe(time.perf_counter() - self.started)
        self.pieces += 1

    def close(self) -> None:
        """Give the engine back and book the numbers; once, however often it is called.

        Where the answer broke off before its counts came, each piece that went out counts as a token.
        """
        if self.closed:
            return
        self.closed = True
        self.pool.release(self.held)
        label = self.route.label
        REQUESTS.labels(label, self.outcome).inc()
        counts = self.usage or {"completion_tokens": self.pieces}
        TOKENS.labels(label, "in").inc(counts.get("prompt_tokens", 0))
        TOKENS.labels(label, "out").inc(counts.get("completion_tokens", 0))
