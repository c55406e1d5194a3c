"""Who gets in, and how refusals look on the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunery.client import Client
from tunery.errors import EXIT_CODES, Forbidden, NotFound, Refused, Unauthenticated

Tunery = Callable[..., tuple[int, Any, str]]


def test_who_am_i(tunery: Tunery) -> None:
    code, found, _ = tunery("system", "get")
    assert code == 0
    assert found["user"] == "owner@localhost"
    assert found["roles"] == ["model_admin"]


def test_what_does_not_exist_is_exit_code_4_and_one_message(tunery: Tunery) -> None:
    code, out, err = tunery("models", "show", "nothing-here")
    assert (code, out) == (EXIT_CODES["not_found"], None)
    assert err.startswith("error: ")
    assert "nothing-here" in err


def test_a_name_that_is_none_is_exit_code_2(tunery: Tunery) -> None:
    code, out, err = tunery("models", "show", "Not A Name")
    assert (code, out) == (2, None)
    assert "not-a-name" in err


def test_a_wrong_token_is_exit_code_3(tunery: Tunery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_TOKEN", "tnr_wrong")
    code, out, err = tunery("models", "list")
    assert (code, out) == (EXIT_CODES["unauthenticated"], None)
    assert "error: " in err


def test_a_viewer_reads_and_does_not_write(client: Client) -> None:
    token = client.tokens.create("reader", email="reader@example.com").token
    with Client(home=client.settings.home, url="", token=token) as reader:
        assert reader.models.list() == client.models.list()
        with pytest.raises(Forbidden, match="access_control"):
            reader.tenants.create("theirs", "x@example.com")


def test_who_may_not_chat_is_told_which_roles_may(client: Client) -> None:
    token = client.tokens.create("looks only", email="looker@example.com").token
    with (
        Client(home=client.settings.home, url="", token=token) as looker,
        pytest.raises(Forbidden) as denied,
    ):
        looker.chat.complete("any", [{"role": "user", "content": "hello"}])
    assert denied.value.message == (
        "your roles (viewer) do not allow inference:use; it takes model_developer or ml_engineer or model_admin"
    )


def test_a_revoked_token_works_no_more(client: Client, tunery: Tunery) -> None:
    made = client.tokens.create("short", email="short@example.com")
    assert tunery("tokens", "revoke", made.key_id)[1]["revokedAt"]
    with Client(home=client.settings.home, url="", token=made.token) as late, pytest.raises(Unauthenticated):
        late.models.list()


def test_a_token_is_shown_once_and_never_listed(tunery: Tunery) -> None:
    code, made, err = tunery("tokens", "create", "ci", "--role", "viewer", "--days", "3")
    assert code == 0
    assert "cannot be shown again" in err
    assert made["token"].startswith("tnr_")
    assert made["token"] not in json.dumps(tunery("tokens", "list")[1])


def test_another_tenant_sees_nothing_of_this_one(tunery: Tunery, client: Client) -> None:
    theirs = tunery("tenants", "create", "rival", "--admin-email", "admin@rival.example")[1]["token"]
    job_id = "0198c0de-0000-7000-8000-000000000001"
    with Client(home=client.settings.home, url="", token=theirs) as rival:
        assert rival.system.get().tenant == "rival"
        assert rival.tokens.list().total == 1
        for read in (lambda: rival.jobs.get(job_id), lambda: rival.models.get("tiny")):
            with pytest.raises(NotFound):
                read()


def test_the_owner_token_can_be_read_by_the_owner_alone(client: Client) -> None:
    assert client.transport.address.own
    for name in ("owner.token", "server.json"):
        assert (client.settings.home / name).stat().st_mode & 0o777 == 0o600


def test_numbers_are_printed_for_prometheus(tunery: Tunery) -> None:
    assert "tunery_http_requests_total" in tunery("system", "metrics")[1]["text"]
    assert tunery("system", "live")[1] == {"live": "ok"}
    assert tunery("system", "ready")[1] == {"ready": "ready"}


def test_a_second_client_uses_the_first_ones_server(client: Client) -> None:
    assert client.transport.address.own
    with Client(home=client.settings.home, url="", token="") as second:
        assert not second.transport.address.own
        assert second.system.get().worker
    assert client.system.get().worker


def test_many_threads_may_use_one_client(client: Client) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(client.tokens.list()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8


def test_a_process_runs_one_tunery_of_its_own_at_a_time(client: Client, tmp_path: Path) -> None:
    client.models.list()
    with Client(home=tmp_path, url="", token="") as second, pytest.raises(Refused, match="close that client"):
        second.models.list()
    assert not (tmp_path / "server.json").exists()
    assert client.jobs.wait(client.store.check().job_id).status == "succeeded"
