"""Petastorm's batch reader on a pyarrow without the classes that Petastorm was written for.

Petastorm imports and reads with what pyarrow has removed since 14 (`pyarrow.filesystem`, `pyarrow.hdfs`, the former
`ParquetDataset` and its pieces); PySpark 4.1 refuses a pyarrow before 15. The classes below do what Petastorm's reader
of a list of files asks of the former ones. They are put into Petastorm's own modules: pyarrow stays as every other
library expects it. Import Petastorm from here: by itself it cannot be imported first.
"""

import sys
from collections.abc import Collection, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.lib
import pyarrow.parquet as pq

from ncs.lake import storage


class _File:
    """A Parquet file, opened when its footer or its rows are asked for; the footer is read once."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._footer: pq.FileMetaData | None = None

    def _open(self) -> Any:
        """The file's bytes: without Python where it is local, so that training does not wait for the reading thread."""
        if "://" not in self._uri:
            return pa.OSFile(self._uri)
        fs, path = storage.filesystem(self._uri)
        return fs.open(path, "rb")

    def footer(self) -> pq.FileMetaData:
        if self._footer is None:
            with self._open() as stream:
                self._footer = pq.read_metadata(stream)
        return self._footer

    def read(self, row_group: int, columns: Collection[str]) -> pa.Table:
        with self._open() as stream:
            return pq.ParquetFile(stream, metadata=self.footer()).read_row_group(row_group, list(columns))


class ParquetFiles:
    """The files of one reader, as a file system for Petastorm, which gets numbers: it misreads some paths."""

    def __init__(self, uris: Sequence[str]) -> None:
        self._files = {f"/{number}": _File(uri) for number, uri in enumerate(uris)}

    @property
    def urls(self) -> list[str]:
        """A URL for each file, in order."""
        return [f"file://{name}" for name in self._files]

    def open(self, name: str) -> _File:
        """The file of a URL's path; reads nothing yet."""
        return self._files[name]


class _Piece:
    """A file, or one of its row groups."""

    partition_keys = ()

    def __init__(self, path: str, open_file_func: Any, row_group: int = 0, partition_keys: Any = ()) -> None:
        self.path, self._file, self._row_group = path, open_file_func(path), row_group

    def get_metadata(self) -> pq.FileMetaData:
        return self._file.footer()

    def read(self, columns: Collection[str], partitions: None) -> pa.Table:
        return self._file.read(self._row_group, columns)


class _Dataset:
    """Files without partition columns and without files of metadata beside them."""

    partitions = metadata = common_metadata = None

    def __init__(self, paths: Sequence[str], filesystem: ParquetFiles, **options: Any) -> None:
        self.fs = filesystem
        self.pieces = [_Piece(path, filesystem.open) for path in paths]


def _import() -> tuple[Any, Any]:
    """`make_batch_reader` and `Unischema`. Petastorm finds the names that only its other readers use while it is
    imported, and then the classes above."""
    missing = {"pyarrow.filesystem": "LocalFileSystem", "pyarrow.hdfs": "HadoopFileSystem"}
    added = [name for name in missing if name not in sys.modules]
    for name in added:
        sys.modules[name] = ModuleType(name)
        setattr(sys.modules[name], missing[name], type(missing[name], (), {}))
    pyarrow.lib.ArrowIOError = OSError  # what it was until pyarrow 15
    try:
        from petastorm import arrow_reader_worker, make_batch_reader, reader
        from petastorm.etl import dataset_metadata
        from petastorm.unischema import Unischema
    finally:
        for name in added:
            del sys.modules[name]
        del pyarrow.lib.ArrowIOError
    for module in (arrow_reader_worker, dataset_metadata, reader):
        module.pq = SimpleNamespace(ParquetDataset=_Dataset, ParquetDatasetPiece=_Piece)
    arrow_reader_worker.ParquetFile = lambda file: file  # which its pieces open themselves
    return make_batch_reader, Unischema


make_batch_reader, Unischema = _import()
