"""Deleting a version and deploying it at the same moment: one of them loses, whoever is first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from tests.registry.conftest import Shelf, shelf
from tunery.errors import Conflict, NotFound, TuneryError
from tunery.platform.db import TenantSession
from tunery.registry.operations import delete_version
from tunery.serving.operations import deploy_version
from tunery.serving.schemas import DeploymentCreate

__all__ = ["shelf"]


@pytest.mark.parametrize(("deploys_first", "loses_by"), [(True, Conflict), (False, NotFound)])
def test_the_second_waits_for_the_first_and_is_refused(
    shelf: Shelf, deploys_first: bool, loses_by: type[TuneryError]
) -> None:
    tenant_id, database = shelf.actor.tenant_id, shelf.ground.database
    version = shelf.base()

    def carry_out(deploys: bool) -> None:
        with database.session(tenant_id) as session:
            act(session, deploys)

    def act(session: TenantSession, deploys: bool) -> None:
        if deploys:
            deploy_version(session, shelf.ground, shelf.actor, DeploymentCreate(version=version.id, name="chat"))
        else:
            delete_version(session, shelf.actor, version.id)

    with ThreadPoolExecutor(1) as threads:
        with database.session(tenant_id) as session:
            act(session, deploys_first)
            session.flush()
            second = threads.submit(carry_out, not deploys_first)
            assert not wait([second], timeout=0.5).done
        with pytest.raises(loses_by):
            second.result(timeout=40)
