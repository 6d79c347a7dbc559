"""Why a file of logs cannot be read: found out by reading it here, once something else has failed."""

import codecs
import re
import zlib
from collections.abc import Iterable
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from ncs.encodings import UTF8
from ncs.errors import DataError, first_line
from ncs.lake import storage

_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_CHUNK = 1 << 20


def plain(uri: str) -> str:
    """A path as people and fsspec write it, of one as Spark names it."""
    return re.sub(r"^file:/*/", "/", unquote(uri)) if uri.startswith("file:") else uri


def check_encoding(uris: Iterable[str], encoding: str, what: str) -> None:
    """Raise DataError naming file and line of the first bytes that are none of the encoding."""
    for uri in uris:
        if place := _undecodable(uri, encoding):
            line, bad = place
            raise DataError(
                f"{what}, {uri}: line {line} is not {encoding.upper()} ({bad}); convert the file to UTF-8 (`iconv -f "
                "... -t UTF-8`), or name the encoding of all logs in logs.encoding"
            )


def why_unreadable(uri: str, cause: str) -> str:
    """The error for a file that Spark could not read to its end, with the remedy; `cause` is Spark's own text."""
    broken = _broken(uri)
    if broken is None and storage.exists(checksums := _checksums(uri)):
        return f"the file does not agree with its checksums in {checksums}; remove those, or deliver both again"
    if broken is None:
        return f"the file is whole, but Spark cannot read it ({cause}); write it in another way"
    return f"the file is broken or cut short ({broken}); deliver it again"


def _checksums(uri: str) -> str:
    """The file of Hadoop's checksums, which it looks for before it reads."""
    folder, _, name = uri.rpartition("/")
    return f"{folder}/.{name}.crc"


def _undecodable(uri: str, encoding: str) -> tuple[int, str] | None:
    """The number of the first line that does not decode, from 1, and what stands there; None if all do."""
    try:
        with storage.open_file(uri, compression="infer") as file:
            for number, line in enumerate(file, start=1):
                mark = _MARKS.get(line[:2]) if number == 1 and encoding == UTF8 else None
                if mark:
                    return number, f"it begins as {mark} does"
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as err:
                    return number, f"byte 0x{line[err.start]:02x} after {err.start} others"
    except (OSError, EOFError, zlib.error):  # the text up to there is sound; that it is cut short is said elsewhere
        return None
    return None


def _broken(uri: str) -> str | None:
    """The error of another reader for a file; None if it reads all of it."""
    try:
        if ".parquet" in uri:
            with storage.open_file(uri) as file:
                for _ in pq.ParquetFile(file).iter_batches():
                    pass
        else:
            with storage.open_file(uri, compression="infer") as file:
                while file.read(_CHUNK):
                    pass
    except (pa.ArrowException, OSError, EOFError, zlib.error) as err:
        return first_line(err) or type(err).__name__
    return None
