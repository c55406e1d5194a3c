"""Erasures of many people among everything else that happens to a dataset, held against a search of plain rows."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from tests.datasets.test_imports import context_of
from tests.datasets.versions.test_changes import imported
from tests.datasets.versions.test_subjects import WHOLE
from tests.faults import ROUNDS
from tests.subjects.test_subjects import erased, everything, model_of
from tunery import audit
from tunery.datasets.operations import resolve_version, rows_of
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.changing import compact_dataset, delete_rows, restore_version
from tunery.errors import Erased
from tunery.evaluation.tables import Evaluation
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.registry.tables import ModelHold, ModelVersion
from tunery.subjects.schemas import Trace
from tunery.subjects.tracing import trace_subject
from tunery.training.tables import TrainingRun

PEOPLE = [f"p{number:02}@example.com" for number in range(14)]


WRITTEN = ("{}", "https://x.org/out?u={}&n=1", "Doe|{}|x", "邮箱{}请", "_{}_", "{}2024", "bo={}", "почта{}")
"""How people's addresses come in data."""


@dataclass
class Plain:
    """A version as the search knows it: the rows that should be in it, and what it was called in turn.

    Attributes:
        version: As it was made.
        rows: Content by row id, in order.
        splits: Split by row id.
        names: The newest last.
        exported: Whether somebody took a copy.
    """

    version: DatasetVersion
    rows: dict[str, str]
    splits: dict[str, str]
    names: list[str]
    exported: bool = False

    def about(self, person: str) -> set[str]:
        """Ids of the rows that name a person."""
        return {row_id for row_id, content in self.rows.items() if person in content}


@dataclass
class Judged:
    """An evaluation: its version, the ids of its examples, and whether it asked about every row of the split."""

    of: Plain
    shots: list[str]
    whole: bool


@dataclass
class World:
    """A dataset, and beside it what a search would be made in."""

    ground: Ground
    actor: Actor
    rng: random.Random
    thorough: bool
    versions: list[Plain] = field(default_factory=list)
    runs: dict[str, tuple[Plain, set[str] | None]] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)
    made: int = 0

    def step(self) -> None:
        """Let something happen."""
        current = self.versions[-1] if self.versions else None
        stands = current is not None and bool(current.rows)
        deeds = {self.imports: 1}
        if any(version.rows for version in self.versions):
            deeds |= {self.restores: 1, self.runs_on: 4, self.judges: 2, self.exports: 1, self.erases: 4}
        if stands:
            deeds |= {self.appends: 3, self.deletes: 1, self.compacts: 1}
        self.rng.choices([*deeds], [*deeds.values()])[0]()

    def imports(self) -> None:
        self._note(imported(self.ground, self.actor, self._new_rows(8), test_split=3, validation_split=0))

    def appends(self) -> None:
        rows = self._new_rows(4)
        self._note(imported(self.ground, self.actor, rows, "append", test_split=2, validation_split=0))

    def deletes(self) -> None:
        rows = [*self.versions[-1].rows]
        if len(rows) > 1:
            self._note(delete_rows(context_of(self.ground, self.actor), "things", self.rng.sample(rows, 1)))

    def compacts(self) -> None:
        self._note(compact_dataset(context_of(self.ground, self.actor), "things"))

    def restores(self) -> None:
        self._note(restore_version(context_of(self.ground, self.actor), self._some().names[-1]))

    def runs_on(self) -> None:
        some, self.made = self._some(), self.made + 1
        taken = None if self.rng.random() < 0.2 else {row_id for row_id in some.rows if self.rng.random() < 0.4}
        model_of(self.ground, self.actor, self._now(some), taken, f"m{self.made}")
        self.runs[f"m{self.made}"] = some, taken

    def judges(self) -> None:
        some = self._some()
        train = [row_id for row_id, split in some.splits.items() if split == "train"]
        shots = self.rng.sample(train, 1) if train and self.rng.random() < 0.5 else []
        one = Judged(some, shots, self.rng.random() < 0.7)
        asked = [row_id for row_id, split in some.splits.items() if split == "test"]
        lines = [{"row_id": i, "prompt": [some.rows[each] for each in (*shots, i)]} for i in asked]
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        digest = self.ground.blobs.put(self.actor.tenant_id, data, "application/x-ndjson").digest
        with self.ground.database.session(self.actor.tenant_id) as session:
            row = Evaluation(
                id=new_id(),
                model_version_id=session.scalars(sa.select(ModelVersion.id)).first(),
                model_reference="any:1.0.0",
                model_digest="0" * 64,
                benchmark_name="things",
                benchmark_version="1",
                dataset_version_id=self._now(some).id,
                dataset_digest="0" * 64,
                split="test",
                metric_names=[],
                prompt={"shots": len(shots)},
                shot_row_ids=shots,
                engine="none",
                max_rows=None if one.whole else 100,
                max_tokens=1,
                status="completed",
                predictions_digest=digest,
                created_by=self.actor.name,
            )
            session.add(row)
        self.judged[row.id] = one

    def exports(self) -> None:
        some = self._some()
        some.exported = True
        with self.ground.database.session(self.actor.tenant_id) as session:
            audit.record(session, self.actor, "dataset_exported", some.names[-1])

    def erases(self) -> None:
        standing = [version for version in self.versions if version.rows]
        person = self.rng.choice([one for one in PEOPLE if any(version.about(one) for version in standing)])
        before = self._trace(person)
        told = erased(self.ground, self.actor, person)
        assert told["spared"] == {}
        with self.ground.database.session(self.actor.tenant_id, read_only=True) as session:
            holds = session.scalars(sa.select(ModelHold).where(ModelHold.cause == f"erasures/{told['erasure']}"))
            assert {hold.version_id for hold in holds} == {
                one.id for one in before.seen_by if one.kind == "model_version"
            }
            marked = sa.select(TrainingRun.id).where(TrainingRun.not_repeatable.contains(told["erasure"]))
            assert {*session.scalars(marked)} == {one.id for one in before.seen_by if one.kind == "run"}
        self.erased.append(person)
        for version in self.versions:
            if gone := version.about(person):
                version.rows = {row_id: content for row_id, content in version.rows.items() if row_id not in gone}
                version.splits = {row_id: version.splits[row_id] for row_id in version.rows}
                if version.rows:
                    version.names.append(self._now(version).reference)

    def check(self) -> None:
        """Hold everything against the search."""
        text = everything(self.ground, self.actor)
        assert not [person for person in self.erased if person in text]
        for version in self.versions:
            moment = f"things@{version.version.created_at.isoformat()}"
            with self.ground.database.session(self.actor.tenant_id, read_only=True) as session:
                for name in (version.names[-1], moment):
                    if not version.rows:
                        with pytest.raises(Erased, match="nothing is left"):
                            resolve_version(session, name)
                        continue
                    found = resolve_version(session, name)
                    assert found.reference == version.names[-1]
                for name in version.names[:-1]:
                    with pytest.raises(Erased):
                        resolve_version(session, name)
            if version.rows:
                stored = [*rows_of(self.ground, found)]
                assert [(row.row_id, row.content) for row in stored] == [*version.rows.items()]
                assert {row.row_id: row.split for row in stored} == version.splits
        for evaluation_id, one in self.judged.items():
            self._check_predictions(evaluation_id, one)
        for person in PEOPLE if self.thorough else self.rng.sample(PEOPLE, 5):
            self._check_trace(person)

    def _check_predictions(self, evaluation_id: str, one: Judged) -> None:
        with self.ground.database.session(self.actor.tenant_id, read_only=True) as session:
            digest = session.get_one(Evaluation, evaluation_id).predictions_digest
        if any(shot not in one.of.rows for shot in one.shots):
            assert digest is None
            return
        lines = self.ground.blobs.read(self.actor.tenant_id, str(digest)).splitlines()
        left = [row_id for row_id, split in one.of.splits.items() if split == "test"]
        assert [json.loads(line)["row_id"] for line in lines] == left

    def _check_trace(self, person: str) -> None:
        trace = self._trace(person)
        held: dict[str, list[str]] = {}
        for version in self.versions:
            for row_id in version.about(person):
                held.setdefault(row_id, []).append(version.names[-1])
        assert {row.row_id: sorted(row.versions) for row in trace.rows} == {
            row_id: sorted(names) for row_id, names in held.items()
        }
        runs = {}
        for name, (version, taken) in self.runs.items():
            if mine := version.about(person):
                if taken is None:
                    runs[name] = "unknown"
                elif taken & mine:
                    runs[name] = "consumed"
        seen = {
            kind: {one.name: one.saw for one in trace.seen_by if one.kind == kind} for kind in ("run", "model_version")
        }
        assert {name.split(" ")[0]: saw for name, saw in seen["run"].items()} == runs
        assert seen["model_version"] == {f"{name}:1.0.0": saw for name, saw in runs.items()}
        judged = {}
        for evaluation_id, one in self.judged.items():
            mine = one.of.about(person)
            if mine & {*one.shots}:
                judged[evaluation_id] = "consumed"
            elif any(one.of.splits[row_id] == "test" for row_id in mine):
                judged[evaluation_id] = "consumed" if one.whole else "unknown"
        assert {one.id: one.saw for one in trace.seen_by if one.kind == "evaluation"} == judged
        copies = {one.name for one in trace.seen_by if one.kind == "export"}
        took = [version for version in self.versions if version.exported and version.about(person)]
        assert copies <= {name for version in took for name in version.names}
        assert all(copies & {*version.names} for version in took)

    def _trace(self, person: str) -> Trace:
        with self.ground.database.session(self.actor.tenant_id, read_only=True) as session:
            return trace_subject(self.ground, session, person.upper())

    def _new_rows(self, count: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for _ in range(count):
            self.made += 1
            named = self.rng.sample([one for one in PEOPLE if one not in self.erased], self.rng.choice([1, 1, 1, 2]))
            words = "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=30))
            written = [self.rng.choice(WRITTEN).format(one) for one in named]
            row = {"prompt": f"{words} {self.made}", "completion": f"answer {self.made}"}
            if self.rng.random() < 0.5:
                row["prompt"] += " " + " and ".join(written)
            else:
                row["about"] = dict.fromkeys(written, self.made)
            rows.append(row)
        return rows

    def _note(self, version: DatasetVersion) -> None:
        if all(version.reference not in known.names for known in self.versions):
            rows = [*rows_of(self.ground, version)]
            contents, splits = {row.row_id: row.content for row in rows}, {row.row_id: row.split for row in rows}
            self.versions.append(Plain(version, contents, splits, [version.reference]))

    def _some(self) -> Plain:
        return self.rng.choice([version for version in self.versions if version.rows])

    def _now(self, plain: Plain) -> DatasetVersion:
        """The version's row, or that of the last that follows it."""
        with self.ground.database.session(self.actor.tenant_id, read_only=True) as session:
            row = session.get_one(DatasetVersion, plain.version.id)
            while row.successor_id:
                row = session.get_one(DatasetVersion, row.successor_id)
            return row


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(1 + 20 * ROUNDS))
def test_whoever_was_erased_and_whatever_came_between_traces_are_exact(ground: Ground, actor: Actor, seed: int) -> None:
    world = World(ground, actor, random.Random(seed), ROUNDS > 0)
    model_of(ground, actor, imported(ground, actor, [{"text": "of nobody"}], **WHOLE), set(), "first")
    for deed in (world.imports, world.runs_on, world.judges, world.judges, world.runs_on, world.exports, world.erases):
        deed()
    world.check()
    while len(world.erased) < (5 if ROUNDS else 2):
        world.step()
        world.check()
