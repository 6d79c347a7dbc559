"""Ids that are texts (`U13740`, a UUID), as the 64-bit numbers that stand for them in every table.

The first 64 bits of the text's SHA-256 as a bigint: the same on every day and on every side, without a table of ids to
keep. Ten million texts meet in one number with a chance of some three in a million.
"""

import hashlib
from typing import Any

import pyarrow as pa


def hash_text(text: str) -> int:
    """The number of a text, from -2^63 to 2^63 - 1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def hash_texts(values: Any) -> Any:
    """Numbers in the place of texts, or of the texts of lists; an empty text is none. Other values stay as they are.

    `values`: [rows], of Arrow, or whatever Arrow makes an array of.
    """
    array = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        rows = [None if row is None else [_number(value) for value in row] for row in array.to_pylist()]
        return pa.array(rows, pa.list_(pa.int64()))
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return values
    each = array.dictionary_encode()
    return pa.array([_number(text) for text in each.dictionary.to_pylist()], pa.int64()).take(each.indices)


def _number(value: Any) -> Any:
    return (hash_text(value) if value else None) if isinstance(value, str) else value
