"""Pseudonyms: user ids as a keyed hash, made while logs are read, so that no table ever holds one in clear.

HMAC-SHA256 of the id's decimal digits, its first 64 bits as a bigint: without the key nobody can tell by trying all
ids whose a pseudonym is. Ten million users meet in one with a chance of some three in a million.
"""

import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.lake import storage
from ncs.lake.layout import IMPRESSIONS, Record
from ncs.text import read_regular

USER_ID = "user_id"
_LEAST, _LONGEST = 16, 65536
"""Bytes of a key, and of a file that holds one."""


@dataclass(frozen=True)
class Pseudonyms:
    """Replaces user ids, or, without a key, nothing. The key stays out of every text: of plans, logs and records."""

    key: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, place: str | None) -> "Pseudonyms":
        """With the key at `privacy.key`: `env:NAME` or `file:PATH`. Raises ConfigError if there is no usable one."""
        if place is None:
            return cls()
        kind, _, name = place.partition(":")
        try:
            key = os.environb.get(name.encode(), b"") if kind == "env" else _read(name).strip()
        except OSError as err:
            raise ConfigError(f"privacy.key: no key can be read from {place} ({err.strerror})") from None
        if len(key) < _LEAST:
            raise ConfigError(
                f"privacy.key: {place} holds {len(key)} bytes, a key has {_LEAST} at least; make one with "
                f"`openssl rand -hex 32`"
            )
        return cls(key)

    @property
    def fingerprint(self) -> str | None:
        """Tells keys apart, and says nothing of them."""
        return hmac.digest(self.key, b"ncs", "sha256").hex()[:12] if self.key else None

    def hide(self, rows: DataFrame) -> DataFrame:
        """Rows with pseudonyms in the place of user ids."""
        if self.key is None or USER_ID not in rows.columns:
            return rows
        # Not an SQL expression: Spark would show the key in its plans and event log.
        # As text: pandas makes floats of integers beside nulls, and many large ids become one float.
        digits = F.col(USER_ID).cast("string")
        return rows.withColumn(USER_ID, F.pandas_udf(_hash(self.key), LongType())(digits))  # type: ignore[call-overload]


def _read(place: str) -> bytes:
    """A key file's bytes, of a folder or a store; no wait for one that is no file."""
    local = "://" not in place
    return read_regular(place, _LONGEST) if local else storage.read_bytes(place)


def pseudonym(key: bytes, user: int | str) -> int:
    """The pseudonym of one user id, given as a number or as its decimal digits."""
    return int.from_bytes(hmac.digest(key, str(user).encode(), "sha256")[:8], "big", signed=True)


def check_one_kind(
    records: Mapping[str, tuple[int, Record]], key: Pseudonyms, text_ids: Sequence[str], days: Days | None = None
) -> None:
    """A user has one id in all days of a lake: made with one key or none, of texts or of numbers.

    `records`: of the impressions, by day; `days`: those that are about to be written again. Raises DataError for other
    days whose ids were made otherwise.
    """
    wanted = key.fingerprint, sorted(text_ids)
    others = [
        date.fromisoformat(day)
        for day, (_, record) in records.items()
        if (record.provenance.get("pseudonyms"), record.provenance.get("text_ids", [])) != wanted
    ]
    if any(days is None or day not in days for day in others):
        raise DataError(
            f"{IMPRESSIONS} of {Days.text(others)}: its user ids were made with another key of privacy.key, or with "
            f"none, or with other logs.text_ids; ingest these days too, or use another --lake"
        )


def _hash(key: bytes) -> Any:
    def hashed(users: pd.Series) -> pd.Series:
        known = {user: pseudonym(key, user) for user in users.dropna().unique()}
        # Not `users.map(known)`, which is a float wherever a user is null.
        return pd.Series(pd.array([known.get(user) for user in users], dtype="Int64"), index=users.index)

    return hashed
