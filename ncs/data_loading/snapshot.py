"""The files of a Delta table at one version, and how their row groups are sharded over workers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from ncs.days import Days
from ncs.errors import DataError, TrainingError, first_line
from ncs.lake import damage, storage
from ncs.lake.layout import Lake


@dataclass(frozen=True)
class Snapshot:
    """The live files of some days, in a fixed order, with the number of rows of each row group."""

    table: str
    version: int
    files: tuple[str, ...]
    row_groups: tuple[int, ...]
    file_numbers: tuple[int, ...] = ()
    """The file of each row group, as its number in `files`."""
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)

    @classmethod
    def of(cls, lake: Lake, table: str, version: int, days: Days, split: str | None = None) -> "Snapshot":
        """The live files of `version`, of one split or of all; the folder also has files that later commits removed.

        Raises DataError if the version is gone, has deletion vectors, lacks a day, or has no such rows.
        """
        delta = lake.table(table, version)
        lake.require_whole_files(delta, table)  # Petastorm reads files whole
        selected = {str(day) for day in days}
        added = delta.get_add_actions(flatten=True)
        # File names are random: sorted by their first rows, equal tables are read in the same order.
        names = ("partition.day", "partition.split", "min.impression_id", "path")
        columns = (added.column(name).to_pylist() for name in names)
        live = [(str(day), of, first or "", path) for day, of, first, path in zip(*columns, strict=True)]
        missing = selected - {day for day, *_ in live}
        if missing:
            raise DataError(f"{table} version {version} lacks {', '.join(sorted(missing))}; run `ncs encode` on them")
        paths = [path for day, of, _, path in sorted(live) if day in selected and split in (None, of)]
        if not paths:
            what = f"{split} rows" if split else "rows"
            raise DataError(f"{table} version {version} has no {what} on {days}; see split in the configuration")
        files = tuple(lake.uri(table, path) for path in paths)
        groups = [_row_groups(file, table) for file in files]
        numbers = tuple(n for n, rows in enumerate(groups) for _ in rows)
        return cls(table, version, files, tuple(rows for of_file in groups for rows in of_file), numbers)

    def verify(self, columns: Collection[str], shard: int, shards: int) -> None:
        """Compare a shard's files with the checksums of their pages, each file once.

        Raises DataError with the name of a file whose bits have changed.
        """
        for file in (self.files[n] for n in dict.fromkeys(self.file_numbers[shard::shards])):
            if file in self._verified:
                continue
            fs, path = storage.filesystem(file)
            try:
                with fs.open(path, "rb") as stream:
                    damage.verify(stream, pq.read_metadata(stream), columns)
            except FileNotFoundError:
                raise  # vacuumed meanwhile
            except (pa.ArrowException, OSError, ValueError) as err:
                raise damage.damaged(file, first_line(err)) from None
            self._verified.add(file)

    def shard_rows(self, shards: int) -> list[int]:
        """Rows of each worker's shard: as in Petastorm, row group i goes to worker i modulo `shards`.

        Raises TrainingError if there are fewer row groups than workers: a worker would have no rows.
        """
        if len(self.row_groups) < shards:
            raise TrainingError(
                f"{self.table} has {len(self.row_groups)} row groups for {shards} workers; use --workers "
                f"{len(self.row_groups)} at the most, or encode with a smaller encode.rows_per_file"
            )
        return [sum(self.row_groups[shard::shards]) for shard in range(shards)]

    @property
    def rows(self) -> int:
        """The number of rows of the snapshot."""
        return sum(self.row_groups)


def _row_groups(file: str, table: str) -> Sequence[int]:
    try:
        with storage.open_file(file) as stream:
            metadata = pq.read_metadata(stream)
    except FileNotFoundError:
        raise DataError(
            f"{file} of {table} is gone (vacuumed?), though the pinned version lists it; run `ncs encode`, then train"
        ) from None
    except (pa.ArrowException, OSError, ValueError) as err:
        raise damage.damaged(file, f"no whole Parquet file: {first_line(err)}") from None
    return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
