"""Load versions into a new engine: verify every byte, start, let the new ones answer once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from tunery.errors import EngineFailed, TuneryError
from tunery.inference.child import engine_logs
from tunery.inference.completing import ChatPrompt, Prompt, TextPrompt, complete
from tunery.inference.ports import ENGINES, AdapterSpec, EngineSpec, RunningEngine
from tunery.platform.ground import Ground
from tunery.registry.operations import checkout_version
from tunery.serving.targets import EngineKey, Member

__all__ = ["NotLoaded", "check_answers", "load"]

_HEALTH_SECONDS = 120.0


class NotLoaded(Exception):
    """Versions that were left out, each with its error; an engine is there only where any remained.

    It stays inside this room: the pool turns it into statuses.
    """

    def __init__(self, faults: dict[Member, TuneryError]) -> None:
        super().__init__("; ".join(f"{member.reference}: {fault.message}" for member, fault in faults.items()))
        self.faults = faults


def load(
    ground: Ground,
    key: EngineKey,
    members: Collection[Member],
    new: Mapping[Member, bool],
    check_open: Callable[[], None],
) -> RunningEngine:
    """Start an engine that holds the members.

    Signature and digests of the base and of every member are checked first. Blocks; no session is held while it works.

    Args:
        ground: The ground; its settings give slots, threads and context length.
        key: Base and kind of engine.
        members: What it shall hold.
        new: Those of them that never answered before, and whether they must answer one request before this returns.
        check_open: Raises to give up between steps.

    Raises:
        NotLoaded: Names each version that is to blame. Nothing is left running.
    """
    folders = _verified(ground, key, members, check_open)
    settings = ground.settings
    spec = EngineSpec(
        model_dir=folders[key.base_id],
        model_digest=key.base_digest,
        cache_dir=settings.folder("cache", "engines", key.tenant_id),
        work_dir=engine_logs(settings),
        adapters=tuple(
            AdapterSpec(member.digest, folders[member.version_id], member.digest)
            for member in sorted(members, key=lambda m: m.digest)
            if member.is_adapter
        ),
        context_length=settings.context_length,
        slots=settings.engine_slots,
        threads=settings.threads or None,
    )
    blamed = set(new) or set(members)
    try:
        engine = ENGINES.get(key.engine).start(spec, timeout_seconds=settings.engine_start_seconds)
    except TuneryError as fault:
        raise NotLoaded(dict.fromkeys(blamed, fault)) from fault
    try:
        for member in [member for member, checked in new.items() if checked]:
            check_open()
            check_answers(engine, member.adapter)
    except TuneryError as fault:
        engine.stop()
        raise NotLoaded(dict.fromkeys(blamed, fault)) from fault
    except BaseException:
        engine.stop()
        raise
    return engine


def check_answers(engine: RunningEngine, adapter: str | None) -> None:
    """Let a version write one token, through its chat template where it has one. Raises: EngineFailed."""
    prompt: Prompt = TextPrompt("Hello") if engine.template_digest is None else _GREETING
    try:
        complete(engine, [prompt], adapter=adapter, max_tokens=1, concurrency=1, timeout_seconds=_HEALTH_SECONDS)
    except TuneryError as fault:
        raise EngineFailed(f"the health check failed: {fault.message}", **fault.details) from fault


_GREETING = ChatPrompt([{"role": "user", "content": "Hello"}])


def _verified(
    ground: Ground, key: EngineKey, members: Collection[Member], check_open: Callable[[], None]
) -> dict[str, Path]:
    """Return the folder of the base and of each adapter by version id, every byte checked."""
    try:
        folders = {key.base_id: checkout_version(ground, key.tenant_id, key.base_id)}
    except TuneryError as fault:
        raise NotLoaded(dict.fromkeys(members, fault)) from fault
    faults: dict[Member, TuneryError] = {}
    for member in members:
        check_open()
        if member.is_adapter:
            try:
                folders[member.version_id] = checkout_version(ground, key.tenant_id, member.version_id)
            except TuneryError as fault:
                faults[member] = fault
    if faults:
        raise NotLoaded(faults)
    return folders
