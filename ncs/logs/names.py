"""Names of columns: those that logs cannot use, and those that two logs cannot both bring into the samples.

Spark and Delta take names that differ in case alone for the same one, so all names are compared in lower case.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from ncs.errors import DataError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DELTA = "Delta uses itself: it would drop rows, or refuse the table"
_SPARK = "Spark uses itself, for what it knows of files"
_SAMPLES = "the samples use themselves"
_SLICES = "the evaluation uses itself, for how often a user or video was shown"
RESERVED: Mapping[str, str] = {
    **dict.fromkeys(("_change_type", "_commit_version", "_commit_timestamp", "__is_cdc"), _DELTA),
    **dict.fromkeys(("_metadata", "_tmp_metadata_row_index"), _SPARK),
    **dict.fromkeys(("clicked", "watched_seconds", "cvr", "split", "day_number", "outcome"), _SAMPLES),
    **dict.fromkeys(("user_impressions", "video_impressions"), _SLICES),
}
"""Name in lower case -> whose it is. What only some query calls a column has `#` in it, as no log's column can."""
_RESERVED_PREFIXES = {"__delta_": _DELTA, "_databricks_": _DELTA}


def check_name(name: str, typed: Collection[str], where: str) -> None:
    """Raise DataError, which begins with `where`, for a column that bronze cannot hold.

    `typed` are the names that ncs gives a meaning and a type in this log.
    """
    lower = name.lower()
    if not _IDENTIFIER.fullmatch(name):
        raise DataError(f"{where}: column {name!r}; names are ASCII letters, digits and _, no digit first. Rename it")
    reserved = [owner for prefix, owner in _RESERVED_PREFIXES.items() if lower.startswith(prefix)]
    for owner in [*reserved, *filter(None, [RESERVED.get(lower)])]:
        raise DataError(f"{where}: column {name!r} bears a name that {owner}; rename it where the log is written")
    if name not in typed and lower in typed:
        raise DataError(f"{where}: column {name!r} differs from {lower!r} in case alone; rename it to {lower!r}")


class SampleColumns:
    """The columns that the samples get from impressions, users and videos, each from one of these logs alone."""

    _KEYS = ("impression_id", "user_id", "video_id", "ts", "day")
    _LENGTH = "length_seconds"

    def __init__(self) -> None:
        own = {name: ("impressions", name) for name in self._KEYS}
        self._taken = {**own, self._LENGTH: ("videos", self._LENGTH)}

    def add(self, log: str, columns: Iterable[str], where: str) -> None:
        """Take a log's columns in; those of other logs than impressions, users and videos are no samples'.

        Raises DataError, which begins with `where`, for a column that another log has, or that the same log has in
        another case.
        """
        if log not in ("impressions", "users", "videos"):
            return
        joined = {"users": ("user_id", "updated_at", "ts"), "videos": ("video_id", "updated_at", "ts", self._LENGTH)}
        ignored = joined.get(log, (self._LENGTH,))  # an impression's own length wins over the video's
        own = {name.lower(): (log, name) for name in columns if name not in ignored}
        for lower, (_, name) in own.items():
            other, taken = self._taken.get(lower, (log, name))
            if other != log:
                spelling = f" as {taken!r}" if taken != name else ""
                raise DataError(
                    f"{where}: column {name!r} stands in {other} too{spelling}, and samples join these logs; rename it "
                    f"where {log} are written"
                )
            if taken != name:
                raise DataError(
                    f"{where}: column {name!r} is {taken!r} elsewhere in {log}, which differs in case alone; rename it "
                    f"to {taken!r}"
                )
        self._taken |= own
