"""What datasets cost: ``python benchmarks/datasets.py PART ...``; prints numbers, asserts none.

Each part runs in a process of its own, so that its peak of memory is its own:

    near        near_deduplicate on a million rows of about 1,000 characters, a tenth of them near-copies
    steps       every row-local sanitising step with its defaults, in MB/s of one core
    import      a file of ``--megabytes`` of JSON lines of about 500 bytes, a tenth of them copies, from the store to a
                version: with exact de-duplication alone, with the subject index, with personal data redacted; the
                memory is that of all its processes together, shared pages once, at its highest and as it grew
    diff        two versions of ``--rows`` rows, one in a hundred of which is changed
    subjects    tracing a person in ``--rows`` rows, in files of a million, that 50 runs took in parts of
    people      tracing ``--people`` of 100,000 people in 3 versions and 50 runs, held against a search of all rows
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MB = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="+", choices=sorted(PARTS))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--test-split", type=float, default=0.0)
    parser.add_argument("--only", choices=[*WAYS], help="this way of importing alone")
    parser.add_argument("--scratch", type=Path, help="where stores are made; none: the system's temporary folder")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    for part in arguments.part:
        if not arguments.child:
            others = [value for value in sys.argv[1:] if value not in PARTS]
            subprocess.run([sys.executable, __file__, part, *others, "--child"], check=True)
            continue
        PARTS[part](arguments)
        peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(f"{part}: peak memory {peaks[0]:,.0f} MiB, of the largest of its processes {peaks[1]:,.0f}", flush=True)


def make_texts(count: int, seed: int = 1) -> Iterator[str]:
    """Yield texts of about 1,000 characters in words of a made-up language; every tenth is a near-copy."""
    rng = random.Random(seed)
    syllables = ["ka", "lo", "mi", "tu", "ren", "sot", "vil", "da", "pe", "xo", "zu", "an", "er", "is"]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(20_000)]
    kept: list[list[str]] = []
    for number in range(count):
        if number % 10 == 9:
            words = list(rng.choice(kept))
            for _ in range(len(words) // 40):
                words[rng.randrange(len(words))] = rng.choice(vocabulary)
        else:
            words = rng.choices(vocabulary, k=rng.randint(80, 240))
            if len(kept) < 2_000:
                kept.append(words)
            else:
                kept[rng.randrange(2_000)] = words
        yield " ".join(words)


class Memory:
    """Looks every second how much memory this process and its children have; Linux only."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self._ended = threading.Event()
        self._looker = threading.Thread(target=self._look)

    def __enter__(self) -> Memory:
        self._looker.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._looker.join()

    def tell(self) -> str:
        """Return the peak, and the peak of each fifth of the time."""
        fifth = max(1, -(-len(self.seen) // 5))
        parts = [max(self.seen[start : start + fifth]) for start in range(0, len(self.seen), fifth)]
        return f"memory {max(parts):,.0f} MiB (over time {', '.join(f'{part:,.0f}' for part in parts)})"

    def _look(self) -> None:
        while not self._ended.wait(1):
            self.seen.append(sum(map(self._share, [os.getpid(), *self._children()])) / 1024)

    def _children(self) -> list[int]:
        tasks = Path("/proc/self/task")
        return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]

    def _share(self, process: int) -> int:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except (OSError, ProcessLookupError):  # it ended a moment ago
            return 0
        return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def near(arguments: argparse.Namespace) -> None:
    from tunery.datasets.rows import Row
    from tunery.datasets.sanitize import Sanitation, SanitizeStep
    from tunery.datasets.sanitize.near_deduplicate import NearDeduplicate

    size, count = 0, arguments.rows

    def rows() -> Iterator[Row]:
        nonlocal size
        for number, text in enumerate(make_texts(count), start=1):
            size += len(text)
            yield Row(f"{number:032x}", number, {"text": text})

    step: Any = NearDeduplicate()  # type: ignore[call-arg]
    steps: list[SanitizeStep] = [step]
    sanitation = Sanitation(steps, "text")
    made = time.process_time()
    for _ in make_texts(count):  # what making the texts takes is not the step's
        pass
    made = time.process_time() - made
    start = time.process_time()
    left = sum(1 for _ in sanitation.run(rows()))
    cpu = time.process_time() - start - made
    record = sanitation.records()[0]
    print(
        f"near: {count:,} rows, {size / MB:,.0f} MB of text: {left:,} left ({record.affected_samples:,} near-copies), "
        f"{against(record.seconds, 180 * count / 1e6, 's', most=True)}, {size / record.seconds / MB:,.1f} MB/s; "
        f"{cpu:,.0f} s of a core; load {os.getloadavg()[0]:.1f}"
    )


def steps(arguments: argparse.Namespace) -> None:
    from tunery.datasets.rows import Row
    from tunery.datasets.sanitize import SANITIZERS, Sanitation

    rows = [
        Row(str(number), number, {"text": text}) for number, text in enumerate(make_texts(min(arguments.rows, 20_000)))
    ]
    size = sum(len(row.values["text"]) for row in rows)
    needed: dict[str, dict[str, Any]] = {
        "strip_keys": {"keys": ["name"]},
        "filter_by_length": {"max_len": 10_000},
        "filter_language": {"languages": ["en"]},
    }
    for name, step in SANITIZERS:
        if step.row_local:
            start = time.process_time()
            sum(1 for _ in Sanitation([step.model_validate({"step": name} | needed.get(name, {}))], "text").run(rows))
            print(f"{name}: {size / (time.process_time() - start) / MB:,.1f} MB/s of a core", flush=True)


class House:
    """A tenant's store and database in a fresh home."""

    def __init__(self, folder: Path) -> None:
        import sqlalchemy as sa

        from tunery.identity.operations import bootstrap
        from tunery.identity.tables import Tenant
        from tunery.platform.db.migrate import migrate
        from tunery.platform.ground import Ground
        from tunery.platform.telemetry import configure_logging
        from tunery.rooms import load_rooms
        from tunery.settings import Settings

        load_rooms()
        settings = Settings(home=folder / "home", log_level="warning", _env_file=None)
        configure_logging(settings)
        migrate(settings)
        self.ground = Ground.build(settings)
        bootstrap(self.ground)
        with self.ground.database.system_session("a benchmark looks for the local tenant") as session:
            self.tenant_id = session.scalars(sa.select(Tenant.id)).one()

    def import_file(self, path: Path, name: str, mode: Any = "replace", **options: Any) -> Any:
        """Return the version that a file becomes, as a job makes it."""
        from tunery.datasets.imports import execute_import
        from tunery.datasets.views import DatasetImport
        from tunery.kit.ids import new_id
        from tunery.platform.jobs import Job, JobContext

        digest = self.ground.blobs.put(self.tenant_id, path).digest
        wish = DatasetImport(name=name, file_digest=digest, file_name="rows.jsonl", options=options, mode=mode)
        lease = new_id()
        with self.ground.database.session(self.tenant_id) as session:
            job = Job(kind="benchmark", payload={}, status="running", lease_token=lease, created_by="benchmark")
            session.add(job)
            session.flush()
        start, before = time.perf_counter(), os.times()
        with Memory() as self.memory:
            version = execute_import(JobContext(self.ground, job, lease, lambda: False), wish)
        after = os.times()
        self.seconds = time.perf_counter() - start
        self.own = after.user + after.system - before.user - before.system
        self.cpu = self.own + sum(after[2:4]) - sum(before[2:4])
        return version


def write_lines(path: Path, size: int) -> int:
    """Write JSON lines of about 500 bytes, a tenth of them copies, every third with an e-mail address; count them."""
    rng, count, kept = random.Random(2), 0, [b""] * 1_000
    texts = [text[:380] for text in make_texts(5_000)]
    with path.open("wb") as file:
        while file.tell() < size:
            count += 1
            if count % 10 == 0:
                file.write(rng.choice(kept))
                continue
            text = texts[rng.randrange(5_000)]
            prompt = f"case {rng.getrandbits(60):x}: {text[:200]}"
            if count % 3 == 0:
                prompt += f" from {text[:5].strip()}.{rng.randrange(10**6)}@example.com"
            row = {"prompt": prompt, "completion": text[200:], "source": "synthetic", "n": count}
            line = json.dumps(row).encode() + b"\n"
            kept[count % len(kept)] = line
            file.write(line)
    return count


WAYS: dict[str, dict[str, Any]] = {
    "deduplicate": {"sanitize": [{"step": "deduplicate"}], "subject_index": False},
    "deduplicate, subject index": {"sanitize": [{"step": "deduplicate"}]},
    "deduplicate, redact_pii, subject index": {"sanitize": [{"step": "deduplicate"}, {"step": "redact_pii"}]},
}


AIMS = {"deduplicate": 20, "deduplicate, subject index": 6, "deduplicate, redact_pii, subject index": 6}
"""MB/s on two cores. The subject index has layer 1 look at every text, so its aim is that of layer 1."""


def against(measured: float, aim: float, unit: str, *, most: bool = False) -> str:
    """Say a number, its aim, and by how much it falls short."""
    short = measured / aim - 1 if most else 1 - measured / aim
    return f"{measured:,.1f} {unit}, aim {aim:,g}" + (f", short of it by {short:.0%}" if short > 0 else ", held")


def import_(arguments: argparse.Namespace) -> None:
    from tunery.kit.ids import new_id

    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        path = Path(folder) / "rows.jsonl"
        count = write_lines(path, arguments.megabytes * 1_000_000)
        house = House(Path(folder))
        for name, options in WAYS.items():
            if arguments.only in (None, name):
                splits = {"validation_split": 0, "test_split": arguments.test_split}
                version = house.import_file(path, f"d-{new_id()}", **options, **splits)
                size, left = path.stat().st_size / MB, version.total_samples
                print(
                    f"import: {name}: {size:,.0f} MB, {count:,} rows, {left:,} left: {house.seconds:,.0f} s, "
                    f"{against(size / house.seconds, AIMS[name], 'MB/s')}; {house.cpu:,.0f} s of a core, of them "
                    f"{house.own:,.0f} here; {house.memory.tell()}, aim below 1,000; load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )


def diff(arguments: argparse.Namespace) -> None:
    from tunery.datasets.versions.diffing import diff_versions

    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        house = House(Path(folder))
        versions = []
        for changed in (False, True):
            path = Path(folder) / "rows.jsonl"
            with path.open("w") as file:
                for number in range(arguments.rows):
                    edit = " once more" if changed and number % 100 == 0 else ""
                    file.write(json.dumps({"id": number, "text": f"the text of row {number * 7919}{edit}"}) + "\n")
            plain = {"validation_split": 0, "test_split": 0, "subject_index": False}
            versions.append(house.import_file(path, "of-rows", key="id", **plain))
            print(f"diff: imported {arguments.rows:,} rows in {house.seconds:,.0f} s", flush=True)
        start, cpu = time.perf_counter(), time.process_time()
        found = diff_versions(house.ground, *versions)
        seconds, aim = time.perf_counter() - start, 5 * arguments.rows / 1e6
        print(
            f"diff: {found.changed:,} of {arguments.rows:,} rows changed: {against(seconds, aim, 's', most=True)}, "
            f"{time.process_time() - cpu:,.1f} s of a core; load {os.getloadavg()[0]:.1f}"
        )


def subjects(arguments: argparse.Namespace) -> None:
    """Trace people in a version of many rows, each about one of them, that 50 runs took in parts of."""
    from tunery.datasets.identifiers import DECLARED, PURPOSE, entries_of
    from tunery.datasets.tables import Dataset
    from tunery.datasets.versions.recording import Change, record_version
    from tunery.datasets.versions.row_files import StoredRow
    from tunery.datasets.versions.writing import Written, put_rows
    from tunery.kit.actor import Actor
    from tunery.kit.ids import new_id
    from tunery.subjects.tracing import trace_subject

    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        house, made, count = House(Path(folder)), new_id(), arguments.rows
        newest = house.ground.blobs.keyring.secrets.newest(house.tenant_id, PURPOSE)

        def rows(first: int) -> Iterator[StoredRow]:
            for number in range(first, min(first + 1_000_000, count)):
                entries = tuple(entries_of([(DECLARED, f"C-{number}")], [newest]))
                yield StoredRow(f"r{number}", "train", number + 1, f'{{"text":"row {number}"}}', entries)

        files, start = [], time.perf_counter()
        for sequence, first in enumerate(range(0, count, 1_000_000)):
            files += put_rows(house.ground, house.tenant_id, made, rows(first), Path(folder), sequence << 10)
        print(f"subjects: {count:,} rows written in {time.perf_counter() - start:,.0f} s", flush=True)
        # The version's digest and its entry in the log are not what is asked for, so they are not made.
        written = Written(0, "0" * 64, {"train": count}, sum(file.size_bytes for file in files), files)
        with house.ground.database.session(house.tenant_id) as session:
            session.add(dataset := Dataset(id=made, name="people", created_by="benchmark"))
            session.flush()
            columns: dict[str, Any] = {"shape": "text", "options": {}, "provenance": {"preprocessingSteps": []}}
            actor = Actor(house.tenant_id, None, "benchmark")
            version = record_version(session, actor, dataset, written, Change("import", "x", columns=columns))
        masks = add_runs(house, [version], [count])
        times = []
        for number in random.Random(3).sample(range(count), 30):
            start, cpu = time.perf_counter(), time.process_time()
            with house.ground.database.session(house.tenant_id, read_only=True) as session:
                found = trace_subject(house.ground, session, f"c-{number}")
            times.append((time.perf_counter() - start, time.process_time() - cpu))
            assert [row.row_id for row in found.rows] == [f"r{number}"]
            saw = {one.name.split(" ")[0] for one in found.seen_by if one.kind == "run"}
            assert saw == {name for name, (_, mask) in masks.items() if mask[number]}
        print(f"subjects: a trace in {count:,} rows and 50 runs: {_told(times)}")


def people(arguments: argparse.Namespace) -> None:
    """Trace some of 100,000 people in three versions that 50 runs took in parts of, held against a search of all."""
    from tunery.datasets.operations import rows_of
    from tunery.subjects.tracing import trace_subject

    rng, everyone = random.Random(5), 100_000
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        house, path, versions = House(Path(folder)), Path(folder) / "rows.jsonl", []
        for part in range(3):
            with path.open("w") as file:
                for number in range(everyone):
                    named = f"person{rng.randrange(everyone)}@example.com and +1 415 {200 + part} {number % 10_000:04}"
                    file.write(json.dumps({"prompt": f"case {part}-{number} of {named}", "completion": "done"}) + "\n")
            mode = "append" if part else "replace"
            versions.append(house.import_file(path, "people", mode, validation_split=0, test_split=0))
            print(f"people: {versions[-1].total_samples:,} rows stand after {house.seconds:,.0f} s", flush=True)
        contents = [[(row.row_id, row.content) for row in rows_of(house.ground, version)] for version in versions]
        masks = add_runs(house, versions, [len(rows) for rows in contents])
        times, right, found_only, missed = [], 0, 0, 0
        for number in rng.sample(range(everyone), arguments.people):
            address = f"person{number}@example.com"
            hits = [[place for place, (_, text) in enumerate(rows) if f" {address} " in text] for rows in contents]
            expected = set()
            for version, rows, places in zip(versions, contents, hits, strict=True):
                expected |= {(version.reference, rows[place][0]) for place in places}
            for name, (version, mask) in masks.items():
                if mask[hits[versions.index(version)]].any():
                    expected |= {("run", name), ("model_version", f"{name}:1")}
            start, cpu = time.perf_counter(), time.process_time()
            with house.ground.database.session(house.tenant_id, read_only=True) as session:
                trace = trace_subject(house.ground, session, address.upper())
            times.append((time.perf_counter() - start, time.process_time() - cpu))
            found = {(reference, row.row_id) for row in trace.rows for reference in row.versions}
            found |= {(one.kind, one.name.split(" ")[0]) for one in trace.seen_by}
            right, found_only, missed = (
                right + len(found & expected),
                found_only + len(found - expected),
                missed + len(expected - found),
            )
        print(
            f"people: {everyone:,} people, {sum(map(len, contents)):,} rows in 3 versions, 50 runs: {right:,} found of "
            f"{arguments.people} people, {found_only} too many, {missed} missed; {_told(times)}"
        )


def add_runs(house: House, versions: list[Any], sizes: list[int]) -> dict[str, tuple[Any, Any]]:
    """Write 50 runs, each on one of the versions and a random third of its rows, with a model each; return the rows."""
    import numpy as np

    from tunery.kit.ids import new_id
    from tunery.lineage.operations import Node, link
    from tunery.registry.tables import Model, ModelVersion
    from tunery.training.consumed import pack_bits
    from tunery.training.tables import TrainingRun

    random_numbers, masks = np.random.default_rng(4), {}
    plain: dict[str, Any] = {"manifest": {"files": []}, "manifest_digest": "0" * 64, "signature": {}, "size_bytes": 0}
    plain |= {"details": {}, "created_by": "benchmark"}
    for number in range(50):
        version, size = versions[number % len(versions)], sizes[number % len(versions)]
        name, mask = f"run{number}", random_numbers.random(size) < 1 / 3
        masks[name] = version, mask
        with house.ground.database.session(house.tenant_id) as session:
            model = Model(id=new_id(), name=name, kind="fine_tuned", created_by="benchmark")
            made = ModelVersion(id=new_id(), model=model, version="1", kind="adapter", **plain)
            base = ModelVersion(id=new_id(), model=model, version="0", kind="base", **plain)
            session.add_all([made, base])
            session.flush()
            run = TrainingRun(
                id=new_id(), name=name, method="sft", config={}, status="succeeded", created_by="benchmark",
                dataset_version_id=version.id, dataset_reference=version.reference, dataset_digest=version.digest,
                base_version_id=base.id, base_reference=f"{name}:0", base_digest="0" * 64,
                consumed=pack_bits(mask),
            )  # fmt: skip
            session.add(run)
            link(session, Node("run", run.id, name), Node("model_version", made.id, f"{name}:1"), "produced_by")
    return masks


def _told(times: list[tuple[float, float]]) -> str:
    seconds, core = (sorted(1000 * one for one in each) for each in zip(*times, strict=True))
    middle = len(times) // 2
    return (
        f"{seconds[middle]:,.0f} ms at the median ({core[middle]:,.0f} of a core), {seconds[-1]:,.0f} at most, "
        f"of {len(times)}; load {os.getloadavg()[0]:.1f}"
    )


PARTS = {"near": near, "steps": steps, "import": import_, "diff": diff, "subjects": subjects, "people": people}


if __name__ == "__main__":
    main()
