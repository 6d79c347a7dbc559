"""Whether a commit holds the rows that were to be written, and how it is taken back if it does not."""

from collections.abc import Mapping
from dataclasses import dataclass

from deltalake.exceptions import DeltaError

from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.layout import ALL, Lake


@dataclass(frozen=True)
class Written:
    """One commit of this process: the table, its version, and whether the table was there before."""

    table: str
    version: int
    was_there: bool


def check_rows(lake: Lake, commit: Written, expected: Mapping[str, int]) -> None:
    """Compare the rows of the days (or `all`) that a commit has replaced, by the table's own log, with those expected.

    Raises DataError if they differ. A day of which nothing is expected may hold no row.
    """
    counts = lake.rows_by_day(commit.table, commit.version)
    for key, rows in expected.items():
        if counts.get(key, 0) != rows:
            of_day = "" if key == ALL else f" of {key}"
            raise DataError(
                f"{commit.table}{of_day}: {rows} rows were read, but Delta has written {counts.get(key, 0)}. The table "
                "is as it was before; rename the columns that no other day has, or that begin with _, and run the "
                "same command again"
            )


def take_back(lake: Lake, commit: Written) -> None:
    """Bring a table to what it was before a commit, or remove it if the commit has begun it.

    Raises DataError if another process has written since: then only somebody who looks can say what is right.
    """
    uri, newest = lake.uri(commit.table), lake.version(commit.table)
    if newest != commit.version:
        raise DataError(
            f"{commit.table}: version {commit.version} was to be taken back, for rows that were read are missing from "
            f"what was written, but version {newest} came after it; restore its days from version {commit.version - 1}"
        )
    if not commit.was_there:
        storage.remove(uri)
        return
    try:
        lake.table(commit.table).restore(commit.version - 1)
    except DeltaError as err:
        raise DataError(
            f"{commit.table}: version {commit.version} was to be taken back, for rows that were read are missing from "
            f"what was written, but that failed ({err}); restore version {commit.version - 1}"
        ) from None
