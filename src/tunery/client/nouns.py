"""What the modules of the SDK share: the base of a noun, and a page of things."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from tunery.client.transport import Transport

__all__ = ["Noun", "Page", "view"]

Item = TypeVar("Item")
View = TypeVar("View", bound=BaseModel)


class Page(list[Item], Generic[Item]):
    """Some of many things: a list that also knows how many there are in all.

    Attributes:
        total: Things there are in all.
        offset: Where this page begins among them.
    """

    def __init__(self, items: Iterable[Item], total: int | None = None, offset: int = 0) -> None:
        super().__init__(items)
        self.total = len(self) if total is None else total
        self.offset = offset


def view(shape: type[View], data: Any) -> View:
    """Read an answer in its shape. Fields that a newer server added are let go, whatever the shape says."""
    return shape.model_validate(data, extra="ignore")


class Noun:
    """One noun of the API. Methods are named as the operations: ``models.promote`` is ``client.models.promote``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _get(self, path: str, **query: Any) -> Any:
        return self._transport.call("GET", path, query=query)[0]

    def _page(self, shape: type[View], path: str, **query: Any) -> Page[View]:
        data, meta = self._transport.call("GET", path, query=query)
        meta = meta or {}
        return Page((view(shape, item) for item in data), meta.get("total"), meta.get("offset", 0))

    def _send(self, method: str, path: str, body: Any = None, *, keyed: bool = True) -> Any:
        if isinstance(body, BaseModel):
            body = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return self._transport.call(method, path, body=body, keyed=keyed)[0]
