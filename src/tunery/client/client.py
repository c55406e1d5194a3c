"""``Client``: everything Tunery can do, from Python."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tunery.client.backup import Backup
from tunery.client.chat import Chat
from tunery.client.compliance import Compliance
from tunery.client.datasets import Datasets
from tunery.client.deployments import Deployments
from tunery.client.evaluations import Evaluations
from tunery.client.files import Files
from tunery.client.gates import Gates
from tunery.client.jobs import Jobs
from tunery.client.models import Models
from tunery.client.pipelines import Pipelines
from tunery.client.runs import Runs
from tunery.client.store import Store
from tunery.client.subjects import Subjects
from tunery.client.system import System
from tunery.client.tenants import Tenants
from tunery.client.tokens import Tokens
from tunery.client.transport import Transport
from tunery.client.uploads import Uploads
from tunery.settings import Settings

__all__ = ["Client"]


class Client:
    """Speaks to a Tunery server; without one it works on this machine's data folder, for its own lifetime.

    >>> with Client() as tunery:  # doctest: +SKIP
    ...     for model in tunery.models.list():
    ...         print(model.name, model.current_version)

    Args:
        url: Address of a server; none takes ``TUNERY_URL``, else the data folder's own server.
        token: API token; none takes ``TUNERY_TOKEN``, else the data folder's owner token (on this machine only).
        home: The data folder; none takes ``TUNERY_HOME``.
    """

    def __init__(self, url: str | None = None, token: str | None = None, home: Path | str | None = None) -> None:
        given: dict[str, Any] = {"url": url, "token": token, "home": home}
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        self.transport = Transport(settings)
        self.files = Files(self.transport)
        self.datasets = Datasets(self.transport, self.files)
        self.compliance = Compliance(self.transport, self.files)
        self.jobs = Jobs(self.transport)
        self.runs = Runs(self.transport)
        self.models = Models(self.transport)
        self.evaluations = Evaluations(self.transport)
        self.gates = Gates(self.transport)
        self.deployments = Deployments(self.transport)
        self.pipelines = Pipelines(self.transport, self.files)
        self.chat = Chat(self.transport)
        self.backup = Backup(self.transport)
        self.store = Store(self.transport)
        self.subjects = Subjects(self.transport)
        self.system = System(self.transport)
        self.tokens = Tokens(self.transport)
        self.tenants = Tenants(self.transport)
        self.uploads = Uploads(self.transport)

    @property
    def settings(self) -> Settings:
        """The settings that count here."""
        return self.transport.settings

    def close(self) -> None:
        """Close the connection, and end the server if it was started here; unfinished jobs go on at the next start."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
