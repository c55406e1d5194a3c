"""Look for what ``prepare.py`` planted in the rows of a version, and say what is left of it.

python examples/support-tickets/check.py support:1 [--planted FILE]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tunery import Client

PLANTED = Path(__file__).parent / "planted.jsonl"
PAGE = 500


def main() -> int:
    """Say how many of the planted identifiers stand in some row; 1 if any does."""
    parser = argparse.ArgumentParser(description="Look for planted identifiers in a dataset version.")
    parser.add_argument("reference")
    parser.add_argument("--planted", type=Path, default=PLANTED)
    wish = parser.parse_args()
    with Client() as client:
        left = left_in(client, wish.reference, wish.planted)
    print("\n".join(f"{count:6} {kind} left" for kind, count in left.items()) or "nothing that was planted is left")
    return int(bool(left))


def left_in(client: Client, reference: str, planted: Path) -> Counter[str]:
    """Return how many of the values that were planted stand in the rows of a version, by kind."""
    everything = "\n".join(texts(client, reference))
    found = {(entry["kind"], entry["value"]) for entry in map(json.loads, planted.read_text("utf-8").splitlines())}
    return Counter(kind for kind, value in found if value in everything)


def texts(client: Client, reference: str) -> Iterator[str]:
    """Yield every row of a version as JSON."""
    offset, total = 0, 1
    while offset < total:
        page = client.datasets.rows(reference, limit=PAGE, offset=offset)
        total, offset = page.total, offset + PAGE
        yield from (json.dumps(item.row, ensure_ascii=False) for item in page)


if __name__ == "__main__":
    raise SystemExit(main())
