"""Files of tables whose bits have changed: found by the checksums of their pages, named with a remedy.

Spark writes a CRC-32 of every page into Parquet files and compares it when it reads them (`ncs.lake.session`); what is
read without Spark is compared here. pyarrow compares sums on request, but not footers, nor does it miss a sum that is
gone. Files without checksums, as other writers may leave them, pass.
"""

import json
import re
import zlib
from collections.abc import Collection
from typing import Any, BinaryIO
from urllib.parse import unquote

import pyarrow.parquet as pq

from ncs.errors import DataError, NcsError

_DATA, _DATA_V2 = 0, 3
"""Types of pages that hold values."""
_TYPE, _SIZE, _CRC = 1, 3, 4
"""Fields of a page's header: type, compressed size, checksum."""
_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"
_LOGICAL = {"integer": "NONE", "long": "NONE", "float": "NONE", "double": "NONE", "string": "STRING", "date": "DATE"}
"""Type of Spark -> how Parquet annotates it; of others not compared."""
_COUNTED = {_DATA: 5, _DATA_V2: 8}
"""Type of page -> the field of its header whose first field is the number of its values."""


def damaged(uri: str, reason: str) -> DataError:
    """The error for a file of a table that cannot be read as it was written."""
    folder = re.match(r".*/(?:bronze|silver|gold|validation)/[^/]+(?=/)", uri)
    table = folder[0] if folder else "the table's folder"
    return DataError(
        f"{uri} is damaged ({reason}); restore the file from a copy, or remove {table} and run `ncs run`, which builds "
        "the table again from its inputs"
    )


def named(err: Exception) -> Exception:
    """The error itself or, where Spark has found a damaged file below a lake's tables, one that names it."""
    text = str(err)
    if isinstance(err, NcsError):
        return err
    file = re.search(r"(?:reading file|Checksum error:|in file) (.+?\.parquet)", text)
    if file is None or not re.search(r"FAILED_READ_FILE|Checksum error|ParquetDecodingException", text):
        return err
    reason = "its checksum differs" if re.search("CRC checksum|Checksum error", text) else "it is no whole Parquet file"
    local = file[1].startswith("file:")
    return damaged(unquote(file[1].removeprefix("file://").removeprefix("file:")) if local else file[1], reason)


def verify(file: BinaryIO, metadata: pq.FileMetaData, columns: Collection[str]) -> None:
    """Compare the pages of some columns of a Parquet file with their checksums, and what its footer says twice.

    Raises ValueError where they differ.
    """
    _check_footer(metadata)
    for group in (metadata.row_group(n) for n in range(metadata.num_row_groups)):
        for chunk in (group.column(n) for n in range(group.num_columns)):
            if chunk.path_in_schema.partition(".")[0] in columns:
                offsets = [chunk.data_page_offset, chunk.dictionary_page_offset]
                file.seek(min(offset for offset in offsets if offset))
                content = file.read(chunk.total_compressed_size)
                try:
                    count = _count_values(content)
                except (IndexError, KeyError, TypeError, AttributeError, RecursionError):
                    raise ValueError(f"the pages of column {chunk.path_in_schema} cannot be told apart") from None
                if count != chunk.num_values or len(content) != chunk.total_compressed_size:
                    raise ValueError(f"the pages of column {chunk.path_in_schema} are not those of the footer")


def _check_footer(metadata: pq.FileMetaData) -> None:
    """A footer has no checksum, but says most of its columns twice. Raises ValueError where it contradicts itself."""
    columns = [metadata.schema.column(n) for n in range(metadata.num_columns)]
    for group in (metadata.row_group(n) for n in range(metadata.num_row_groups)):
        for n, column in enumerate(columns):
            chunk = group.column(n)
            if (chunk.path_in_schema, chunk.physical_type) != (column.path, column.physical_type):
                raise ValueError(f"the footer says otherwise of column {column.path} in different places")
    written = (metadata.metadata or {}).get(_SPARK_SCHEMA)
    if written is not None:
        try:
            fields = json.loads(written)["fields"]
            said = {field["name"]: (field["type"], int(field["nullable"])) for field in fields}
        except (ValueError, KeyError, TypeError):
            raise ValueError("the footer's schema of Spark cannot be read") from None
        nested = any(not isinstance(kind, str) for kind, _ in said.values())
        for column in () if nested else columns:
            kind, levels = said.get(column.path, ("", None))
            logical = _LOGICAL.get(kind, column.logical_type.type)
            if (levels, 0, logical) != (
                column.max_definition_level,
                column.max_repetition_level,
                column.logical_type.type,
            ):
                raise ValueError(f"the footer says otherwise of column {column.path} in different places")


def _count_values(content: bytes) -> int:
    """The values in the pages of a column chunk. Raises ValueError for a page whose checksum differs."""
    at, values, with_sum = 0, 0, set()
    while at < len(content):
        reader = _Compact(content, at)
        header = reader.struct()
        page = content[reader.at : reader.at + header[_SIZE]]
        if len(page) != header[_SIZE]:
            raise ValueError("a page is cut short")
        with_sum.add(_CRC in header)
        if _CRC in header and zlib.crc32(page) != header[_CRC] & 0xFFFFFFFF:
            raise ValueError("the checksum of a page differs")
        if header[_TYPE] in _COUNTED:
            values += header[_COUNTED[header[_TYPE]]][1]
        at = reader.at + len(page)
    if len(with_sum) > 1:
        raise ValueError("a page has lost its checksum")
    return values


class _Compact:
    """Thrift's compact protocol, as far as headers of pages need it."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at

    def struct(self) -> dict[int, Any]:
        """Field -> value."""
        fields: dict[int, Any] = {}
        field = 0
        while kind := self._byte():
            field = field + (kind >> 4) if kind >> 4 else self._integer()
            fields[field] = self._value(kind & 0xF)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2):  # true, false
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 != 15 else self._varint()
            return [self._value(head & 0xF) for _ in range(min(count, len(self.content)))]
        if kind == 12:
            return self.struct()
        raise ValueError("the header of a page is none")

    def _byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        self.at += size
        return self.content[self.at - size : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
