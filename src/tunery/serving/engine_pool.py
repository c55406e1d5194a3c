"""The engines of this process: brings what runs to what the rows ask for, and says which engine answers a request."""

from __future__ import annotations

import threading
import traceback
from collections import defaultdict
from collections.abc import Collection

import structlog

from tunery.errors import Cancelled, EngineFailed
from tunery.platform.ground import Ground
from tunery.platform.telemetry import ENGINES_RUNNING
from tunery.serving.directory import Directory, Route
from tunery.serving.engine_group import EngineGroup, HeldEngine
from tunery.serving.loading import NotLoaded, load
from tunery.serving.observing import observe
from tunery.serving.statuses import with_observations, write_observations
from tunery.serving.targets import EngineKey, Member, Target, read_targets

__all__ = ["EnginePool"]

log = structlog.get_logger(__name__)
_LOOK_SECONDS = 1.0


class EnginePool:
    """One engine for each tenant, base and kind of engine, with the deployed adapters of that base resident.

    A thread looks at the rows every second and when it is woken. Engines start in threads of their own; no database
    session is open meanwhile. When the adapters of a base change, a new engine is started, requests go to it from the
    moment it is healthy, and the old one ends after its last answer.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._groups: dict[EngineKey, EngineGroup] = {}
        self._revisions: dict[str, int] = {}
        self._builders: set[threading.Thread] = set()
        self._directory = Directory(())
        self._warm = False
        self._thread: threading.Thread | None = None

    def start(self, *, warm: bool = False) -> None:
        """Know the deployments, and keep watching them.

        Args:
            warm: Start the engines of every deployment now; otherwise each starts with the first request for it.
        """
        self._warm = warm
        self._reconcile()
        self._thread = threading.Thread(target=self._watch, name="tunery-engines", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop every engine, whatever it answers."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        for builder in list(self._builders):
            builder.join(timeout=2)  # one that takes longer ends its engine itself when it sees that all is over
        with self._lock:
            for group in self._groups.values():
                group.retire()
            held = [each for group in self._groups.values() for each in group.draining]
            self._groups.clear()
        for each in held:
            each.engine.stop()
        ENGINES_RUNNING.set(0)

    def wake(self) -> None:
        """Look at the rows now."""
        self._wake.set()

    def deployments(self, tenant_id: str) -> list[Route]:
        """Return a tenant's deployments that answer, by name."""
        return self._directory.of_tenant(tenant_id)

    def resolve(self, tenant_id: str, model: str) -> tuple[Route, Member]:
        """Return what a request's ``model`` names; see ``Directory.resolve``."""
        return self._directory.resolve(tenant_id, model)

    def lease(self, member: Member) -> HeldEngine | None:
        """Return the engine that holds a version, kept until ``release``; None while it starts, which this asks for."""
        with self._lock:
            group = self._groups.setdefault(member.key, EngineGroup(member.key))
            waiting = group.asked
            group.notice_death()
            if group.current is not None and group.holds(member):
                group.current.in_flight += 1
                return group.current
            group.asked = True
        if not waiting:
            self._wake.set()
        return None

    def release(self, held: HeldEngine) -> None:
        """Give a lease back."""
        with self._lock:
            held.in_flight -= 1

    def _watch(self) -> None:
        failures = 0
        while not self._closed.is_set():
            self._wake.wait(timeout=min(_LOOK_SECONDS * (1 + failures), 10))
            self._wake.clear()
            try:
                self._reconcile()
                failures = 0
            except Exception:  # noqa: BLE001 engines go on answering while the database is away
                failures += 1
                log.warning("looking at deployments failed; it is tried again", traceback=traceback.format_exc())

    def _reconcile(self) -> None:
        if self._closed.is_set():
            return
        targets = read_targets(self._ground.database)
        with self._lock:
            self._notice(targets)
            observations = [seen for target in targets if (seen := observe(target, self._groups)) is not None]
        if observations:
            # Published first: whoever reads in the row that a version is ready finds it answering.
            self._directory = Directory(with_observations(targets, observations))
            write_observations(self._ground.database, observations)
            targets = read_targets(self._ground.database)
        self._directory = Directory(targets)
        self._steer(targets)

    def _notice(self, targets: list[Target]) -> None:
        for held_group in self._groups.values():
            held_group.notice_death()
        for target in targets:
            group = self._groups.get(target.wanted.key) if target.wanted else None
            if group and target.wanted and self._revisions.get(target.id) != target.revision:
                group.forgive(target.wanted)
        self._revisions = {target.id: target.revision for target in targets}

    def _steer(self, targets: list[Target]) -> None:
        needs: dict[EngineKey, set[Member]] = defaultdict(set)
        for target in targets:
            for member in target.members():
                needs[member.key].add(member)
        due = {target.wanted.key for target in targets if target.wanted and target.status == "starting"}
        with self._lock:
            for key, members in needs.items():
                group = self._groups.setdefault(key, EngineGroup(key))
                if self._warm or group.asked or group.current or key in due:
                    self._advance(group, members, targets)
            done = [held for key in list(self._groups) for held in self._leftovers(key, needs)]
            ENGINES_RUNNING.set(sum(group.current is not None for group in self._groups.values()))
        for held in done:
            held.engine.stop()

    def _leftovers(self, key: EngineKey, needs: Collection[EngineKey]) -> list[HeldEngine]:
        group = self._groups[key]
        if key not in needs and not group.building:
            group.retire()
        done = group.finished()
        if key not in needs and not (group.building or group.draining):
            del self._groups[key]
        return done

    def _advance(self, group: EngineGroup, needed: set[Member], targets: list[Target]) -> None:
        if group.building or not group.is_due():
            return
        proven = {target.served for target in targets if target.served is not None}
        members = group.next_members(needed, proven)
        if members is None:
            return
        new = {member: False for member in members if member not in proven and not group.holds(member)}
        new |= {t.wanted: True for t in targets if t.wanted in new and t.health_check}
        group.building = True
        builder = threading.Thread(
            target=self._build, args=(group, members, new), name="tunery-engine-start", daemon=True
        )
        self._builders.add(builder)
        builder.start()

    def _build(self, group: EngineGroup, members: frozenset[Member], new: dict[Member, bool]) -> None:
        try:
            engine = load(self._ground, group.key, members, new, self._check_open)
        except NotLoaded as fault:
            log.warning("an engine did not start", engine=group.key.engine, reason=str(fault))
            with self._lock:
                group.blame(fault.faults, new)
        except Cancelled:
            log.info("a start of an engine was given up", engine=group.key.engine)
        except Exception as fault:  # noqa: BLE001 whatever it is, its deployments must say so
            log.error("starting an engine met a fault of ours", traceback=traceback.format_exc())
            with self._lock:
                shown = EngineFailed(
                    f"starting its engine met a fault ({type(fault).__name__}); the server's log tells it"
                )
                group.blame(dict.fromkeys(new or members, shown), new)
        else:
            with self._lock:
                closed = self._closed.is_set()
                if not closed:
                    group.replace(engine, members)
            if closed:
                engine.stop()
        finally:
            with self._lock:
                group.building = False
                self._builders.discard(threading.current_thread())
            self._wake.set()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Cancelled
