"""Make tickets of an invented help desk from the documentation of the packages that are installed here.

    python examples/support-tickets/prepare.py [--rows 2000] [--seed 1] [--folder FOLDER]

Three files are written into the folder of this one, or another:

    tickets.jsonl        ticket, customer, prompt, completion; with duplicates and lines that are no rows
    more-tickets.csv     a tenth as many, as another system exports them: cp1252
    planted.jsonl        what was planted: ticket, kind, value

The completions are paragraphs of real documentation under licences that allow it. The customers do not exist: their
names, addresses and numbers come from the seed, with check digits that are right and telephone numbers kept for films.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

HERE = Path(__file__).parent
FREE = {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT OR Apache-2.0", "Apache-2.0 OR BSD-3-Clause"}
FIRST = ("Anneke", "Celeste", "Dagny", "Emeka", "Farida", "Goran", "Ilse", "Jorma", "Lamin", "Odile")
LAST = ("Abendroth", "Bellweather", "Castellane", "Drummore", "Eskelund", "Fairholt", "Grantley", "Jessop")
FOREIGN = (
    (
        "Guten Tag, seit gestern lässt sich das Programm nicht mehr starten.",
        "Bitte löschen Sie den Ordner mit den alten Einstellungen und starten Sie den Rechner danach neu.",
    ),
    (
        "Bonjour, la mise à jour a effacé mes réglages.",
        "Vous trouverez une copie de vos anciens réglages dans le dossier de la sauvegarde de la semaine dernière.",
    ),
    (
        "Buenos días, no puedo abrir el archivo que me enviaron ayer.",
        "El archivo se había dañado en el camino; se lo enviamos otra vez esta tarde por otro medio.",
    ),
)


class Customer(NamedTuple):
    """A person who does not exist."""

    number: str
    values: dict[str, str]


class Ticket(NamedTuple):
    """A row, and what was planted in it: kind and value."""

    row: dict[str, str]
    planted: list[tuple[str, str]]


SAYINGS = {
    "PERSON": "Name: {}",
    "EMAIL": "Please write to {} when you know more.",
    "PHONE": "You can call me back at {}.",
    "CARD": "It was paid with the card {}.",
    "IBAN": "The refund goes to {}, please.",
    "SECRET": "I use the token {} for it.",
}


def main() -> int:
    """Write the files and say what is in them."""
    parser = argparse.ArgumentParser(description="Make tickets of an invented help desk.")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=HERE)
    wish = parser.parse_args()
    counts = prepare(wish.folder, wish.rows, wish.seed)
    print("\n".join(f"{count:6} {what}" for what, count in counts.items()))
    return 0


def prepare(folder: Path, rows: int, seed: int) -> dict[str, int]:
    """Write the files and return how many there are of what."""
    r = Random(seed)
    customers = [_customer(r, number) for number in range(40)]
    paragraphs = sorted(set(_paragraphs()))
    r.shuffle(paragraphs)
    first = [_ticket(r, number, r.choice(customers), *paragraphs[number % len(paragraphs)]) for number in range(rows)]
    foreign = [_foreign(r, rows + number, r.choice(customers)) for number in range(rows // 50)]
    again = [_repeated(r, 2 * rows + number, r.choice(first)) for number in range(rows // 20)]
    tickets = first + foreign + again
    r.shuffle(tickets)
    broken = _broken(tickets[: rows // 100])
    lines = [json.dumps(ticket.row, ensure_ascii=False).encode() for ticket in tickets]
    for line in broken:
        lines.insert(r.randrange(len(lines)), line)
    (folder / "tickets.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    others = [_ticket(r, 3 * rows + number, r.choice(customers), *r.choice(paragraphs)) for number in range(rows // 10)]
    (folder / "more-tickets.csv").write_bytes(_as_csv([ticket.row for ticket in others]))
    planted = [
        {"ticket": ticket.row["ticket"], "kind": kind, "value": value}
        for ticket in tickets + others
        for kind, value in ticket.planted
    ]
    (folder / "planted.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in planted), encoding="utf-8")
    return {
        "tickets in tickets.jsonl": len(tickets),
        "of them said before, or nearly": len(again),
        "of them not in English": len(foreign),
        "lines that are no rows": len(broken),
        "tickets in more-tickets.csv": len(others),
        "identifiers planted": len(planted),
    }


def _paragraphs() -> Iterator[tuple[str, str, str]]:
    """Yield package, heading and paragraph of the documentation that is installed here and may be used so."""
    for found in distributions():
        license = found.metadata.get("License-Expression") or found.metadata.get("License") or ""
        if license.strip() not in FREE:
            continue
        body: Any = found.metadata.get_payload()
        heading = "Overview"
        for block in re.split(r"\n\s*\n", body or found.metadata.get("Description") or ""):
            text = re.sub(r"^#+ *", "", block.strip())
            if text.count("\n") < 2 and len(text) < 60:
                heading = re.sub(r"[^\w .-]", "", text.partition("\n")[0]).strip(" .-_") or heading
            elif 60 <= len(text) <= 1200:
                yield found.metadata["Name"], heading, text


def _ticket(r: Random, number: int, customer: Customer, package: str, heading: str, paragraph: str) -> Ticket:
    prompt = f'What does the documentation of {package} say under "{heading}"?'
    row = {"ticket": f"T-{number:05}", "customer": customer.number, "prompt": prompt, "completion": paragraph}
    planted = r.sample(sorted(SAYINGS), k=r.choice((0, 0, 0, 1, 2)))
    for kind in planted:
        side = "prompt" if r.random() < 0.7 else "completion"
        row[side] += "\n" + SAYINGS[kind].format(customer.values[kind])
    return Ticket(row, [(kind, customer.values[kind]) for kind in planted])


def _foreign(r: Random, number: int, customer: Customer) -> Ticket:
    prompt, completion = r.choice(FOREIGN)
    row = {"ticket": f"T-{number:05}", "customer": customer.number, "prompt": prompt, "completion": completion}
    return Ticket(row, [])


def _repeated(r: Random, number: int, ticket: Ticket) -> Ticket:
    row = ticket.row | {"ticket": f"T-{number:05}"}
    if r.random() < 0.5:
        row["completion"] += " Thank you!"
    return Ticket(row, ticket.planted)


def _broken(tickets: list[Ticket]) -> list[bytes]:
    """Return lines as they come from crashed exports, wrong encodings and forgotten columns."""
    lines = []
    for number, ticket in enumerate(tickets):
        whole = json.dumps(ticket.row, ensure_ascii=False).encode()
        lacking = json.dumps({name: value for name, value in ticket.row.items() if name != "completion"}).encode()
        lines.append((whole[: len(whole) // 2], lacking, b'{"note": "caf\xe9"}', b"-- end of page --")[number % 4])
    return lines


def _as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("cp1252", "replace")


def _customer(r: Random, number: int) -> Customer:
    name = f"{r.choice(FIRST)} {r.choice(LAST)}"
    london = r.random() < 0.5
    values = {
        "PERSON": name,
        "EMAIL": f"{name.lower().replace(' ', '.')}{number}@{r.choice(('mail', 'post', 'desk'))}.example.com",
        "PHONE": f"+44 20 7946 0{r.randrange(1000):03}" if london else f"+1 202-555-01{r.randrange(100):02}",
        "CARD": _card(r),
        "IBAN": _iban(r),
        "SECRET": "ghp_" + "".join(r.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=36)),
    }
    return Customer(f"C-{number + 1000}", values)


def _card(r: Random) -> str:
    """Return sixteen digits that pass the check of ISO/IEC 7812 (Luhn)."""
    digits = [4, *(r.randrange(10) for _ in range(14))]
    doubled = [sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits)]
    text = "".join(map(str, [*digits, -sum(doubled) % 10]))
    return " ".join(text[start : start + 4] for start in range(0, 16, 4))


def _iban(r: Random) -> str:
    """Return a German account number whose check digits are right by ISO 13616 (D is 13, E is 14)."""
    account = "".join(str(r.randrange(10)) for _ in range(18))
    return f"DE{98 - int(account + '131400') % 97:02}{account}"


if __name__ == "__main__":
    raise SystemExit(main())
