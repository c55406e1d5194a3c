"""The graph is whole whoever writes it, and however many at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import sqlalchemy as sa

from tunery.kit.actor import Actor
from tunery.lineage.operations import Node, link, place
from tunery.lineage.tables import LineageEdge, LineageNode
from tunery.platform.ground import Ground

FILE, ROWS, RUN = Node("source", "file"), Node("dataset_version", "rows"), Node("run", "run")


def counted(ground: Ground, actor: Actor) -> tuple[int, int]:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        found = [session.scalar(sa.select(sa.func.count(table.id))) for table in (LineageNode, LineageEdge)]
    return found[0] or 0, found[1] or 0


@pytest.mark.parametrize("standing", [(), (FILE,), (FILE, ROWS)])
def test_two_sessions_that_write_the_same_at_once_both_succeed(
    ground: Ground, actor: Actor, standing: tuple[Node, ...]
) -> None:
    """Each session is held where it has looked and is about to write, until the other one is there too.

    SQLite lets one session look that will write, so there the first goes on alone after a moment.
    """
    with ground.database.session(actor.tenant_id) as session:
        for node in standing:
            place(session, node)
    both_looked = threading.Barrier(2)

    def write(name: str) -> None:
        def meet(*_: object) -> None:
            with suppress(threading.BrokenBarrierError):
                both_looked.wait(timeout=1)

        with ground.database.session(actor.tenant_id) as session:
            sa.event.listen(session, "before_flush", meet, once=True)
            link(session, FILE, ROWS, "derived_from")
            link(session, ROWS, Node("run", name), "trained_on")

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(write, name) for name in ("one", "two")]:
            done.result(timeout=60)
    assert counted(ground, actor) == (4, 3)  # the file, the rows, two runs; and between them three edges
