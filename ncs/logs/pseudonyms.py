"""Pseudonyms: user ids as a keyed hash, made while logs are read, so that no table ever holds one in clear.

HMAC-SHA256 of the id's decimal digits, its first 64 bits as a bigint: without the key nobody can tell by trying all
ids whose a pseudonym is. Ten million users meet in one with a chance of some three in a million.
"""

import hmac
import os
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from ncs.errors import ConfigError
from ncs.lake import storage
from ncs.text import read_regular

_USER = "user_id"
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
        if self.key is None or _USER not in rows.columns:
            return rows
        # Not an SQL expression: Spark would show the key in its plans and event log.
        # As text: pandas makes floats of integers beside nulls, and many large ids become one float.
        digits = F.col(_USER).cast("string")
        return rows.withColumn(_USER, F.pandas_udf(_hash(self.key), LongType())(digits))  # type: ignore[call-overload]


def _read(place: str) -> bytes:
    """A key file's bytes, of a folder or a store; no wait for one that is no file."""
    local = "://" not in place
    return read_regular(place, _LONGEST) if local else storage.read_bytes(place)


def pseudonym(key: bytes, user: int | str) -> int:
    """The pseudonym of one user id, given as a number or as its decimal digits."""
    return int.from_bytes(hmac.digest(key, str(user).encode(), "sha256")[:8], "big", signed=True)


def _hash(key: bytes) -> Any:
    def hashed(users: pd.Series) -> pd.Series:
        known = {user: pseudonym(key, user) for user in users.dropna().unique()}
        # Not `users.map(known)`, which is a float wherever a user is null.
        return pd.Series(pd.array([known.get(user) for user in users], dtype="Int64"), index=users.index)

    return hashed
