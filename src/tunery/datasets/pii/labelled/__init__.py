"""The bundled labelled set: made from a seed, so that no key or number of it lies in a file."""

from __future__ import annotations

import re
import string
import uuid
from dataclasses import dataclass
from random import Random

from tunery.datasets.pii.labelled.templates import NEGATIVES, TEMPLATES
from tunery.datasets.pii.labelled.values import VALUES, digits, letters
from tunery.kit.digests import sha256_json

__all__ = ["Labelled", "digest_of", "labelled_set"]

_OF_EACH = 60
_NEGATIVES = 1000
_PLACE = re.compile(r"\{([a-zA-Z]+)([0-9]*)\}")


@dataclass(frozen=True)
class Labelled:
    """A text and what is in it.

    Attributes:
        spans: Kind, start and end of each, in order.
    """

    text: str
    spans: tuple[tuple[str, int, int], ...]


def labelled_set(seed: int = 1) -> list[Labelled]:
    """Return the set of that seed: sixty texts of each kind, and a thousand in which nothing is to be found."""
    r = Random(seed)
    made: list[Labelled] = []
    for kind, forms in TEMPLATES.items():
        for number in range(_OF_EACH):
            form, value = forms[number % len(forms)], VALUES[kind](r)
            start = form.replace("{{", "{").index("{}")
            text = form.replace("{{", "{").replace("}}", "}").replace("{}", value, 1)
            made.append(Labelled(text, ((kind, start, start + len(value)),)))
    for number in range(_NEGATIVES):
        form = NEGATIVES[number % len(NEGATIVES)]
        made.append(Labelled(_PLACE.sub(lambda place: _filler(r, place[1], place[2]), form), ()))
    return made


def digest_of(rows: list[Labelled]) -> str:
    """Return the SHA-256 of a labelled set."""
    return sha256_json([[row.text, row.spans] for row in rows])


def _filler(r: Random, what: str, count: str) -> str:
    match what:
        case "d":
            return digits(r, int(count), r.choice("123456789"))
        case "A":
            return letters(r, int(count))
        case "hex":
            return letters(r, int(count), string.hexdigits[:16])
        case "date":
            return f"{r.randint(2001, 2026)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"
        case "year":
            return str(r.randint(1950, 2026))
        case "hour":
            return f"{r.randint(0, 23):02}"
        case "minute":
            return f"{r.randint(0, 59):02}"
        case _:
            return str(uuid.UUID(int=r.getrandbits(128), version=4))
