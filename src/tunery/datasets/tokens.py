"""How many tokens the rows of files have, for whose tokenizer is known."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tunery.datasets.shapes import Shape, columns_of, texts_of
from tunery.datasets.tables import DatasetFile
from tunery.datasets.versions.contents import batches_of
from tunery.errors import InvalidInput
from tunery.kit.extras import require
from tunery.platform.ground import Ground

__all__ = ["count_tokens"]


def count_tokens(
    ground: Ground, tenant_id: str, files: Iterable[DatasetFile], shape: Shape, tokenizer_json: bytes
) -> int:
    """Return the tokens of all texts that a model would learn from, without those of a chat template.

    Raises: InvalidInput: it is no ``tokenizer.json``. MissingExtra: the library is not installed.
    """
    try:
        tokenizer = require("tokenizers", "data").Tokenizer.from_buffer(tokenizer_json)
    except ValueError as error:
        raise InvalidInput(f"this is no tokenizer.json that can be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    total = 0
    for batch in batches_of(ground, tenant_id, files, ["row"]):
        rows = map(json.loads, batch["row"].to_pylist())
        texts = [text for row in rows for column in columns_of(shape, row) for text in texts_of(row.get(column))]
        safe = [text.encode("utf-8", "replace").decode() for text in texts]
        total += sum(len(each.ids) for each in tokenizer.encode_batch(safe, add_special_tokens=False))
    return total
