"""Scoring of raw rows with Spark: what `ncs score` does in memory, batch by batch in the executors."""

import re
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, StringType, StructField, StructType

from jobs.job import Job
from jobs.pipeline.score import Scorer, with_columns
from ncs.errors import ConfigError, DataError
from ncs.lake import storage
from ncs.logs.files import reading, spark_path

_FORMATS = {"parquet": "parquet", "jsonl": "json", "json": "json", "csv": "csv"}
"""How a file's name ends -> what Spark calls its format."""
_UNKNOWN = "unknown#"
"""Before a feature's name: the column that says which of its values are unknown, counted and left out."""
_ROWS = "#rows"
_REFUSED = re.compile(r"ncs\.errors\.DataError: (.*)")
"""What a worker has raised, as Spark hands it on."""


def score(job: Job, scorer: Scorer, source: str, output: str) -> tuple[int, dict[str, int]]:
    """Score a file, a folder of files or a Delta table into a new folder of Parquet files.

    Returns the number of rows, and by feature that of the values that the model does not know. Raises ConfigError if
    the folder is there already, DataError for rows that cannot be read or lack a feature; nothing is left then.
    """
    folder = storage.absolute(output)
    if storage.exists(folder):
        raise ConfigError(f"--output {output} is there already, --spark writes a new one; remove it, or name another")
    try:
        with reading(f"--input {source}"):
            counts = _write(read(job, source, scorer.conf.logs.text_ids), scorer, folder)
        if not counts[_ROWS]:
            raise DataError(f"--input {source} has no row")
    except BaseException:
        storage.remove(folder)
        raise
    return counts.pop(_ROWS), counts


def _write(rows: DataFrame, scorer: Scorer, folder: str) -> dict[str, int]:
    """Write the scored rows; their number, and by feature that of the unknown values, all in one pass."""
    scorer.check(rows.columns)
    counts, count = Observation(), F.count(F.lit(1)).alias(_ROWS)
    unknown = [F.count_if(_UNKNOWN + name).alias(name) for name in scorer.counted]
    counted = _scored(rows, scorer).observe(counts, count, *unknown)
    try:
        counted.drop(*(_UNKNOWN + name for name in scorer.counted)).write.parquet(folder)
    except PySparkException as err:
        if refused := _REFUSED.search(str(err)):
            raise DataError(refused[1]) from err
        raise
    return dict(counts.get)


def read(job: Job, source: str, text_ids: Sequence[str] = ()) -> DataFrame:
    """Rows of a file, of a folder of files that end alike, or of a Delta table by its name in the lake or its path.

    `text_ids` of CSV stay texts, also where all their values look like numbers.
    """
    uri = job.lake.uri(source) if job.lake.has(source) else storage.absolute(source)
    ending = source.rpartition(".")[2].lower()
    if ending not in _FORMATS:
        if DeltaTable.is_deltatable(storage.alias(uri)):
            return job.spark.read.format("delta").load(uri)
        endings = {name.rpartition(".")[2].lower() for name in storage.files(uri) if not name.startswith(("_", "."))}
        if len(endings) != 1 or not endings <= _FORMATS.keys():
            raise DataError(
                f"--input {source}: neither a file that ends with .{', .'.join(_FORMATS)}, nor a folder of such files "
                f"that end alike, nor a Delta table"
            )
        (ending,) = endings
    reader = job.spark.read.format(_FORMATS[ending])
    if ending != "parquet":  # else lines of another form would be rows of nulls
        reader = reader.options(mode="FAILFAST", columnPruning=False)
    if ending != "csv":
        return reader.load(spark_path(uri))
    columns = reader.options(header=True, inferSchema=True).load(spark_path(uri)).schema
    texts = [StructField(column.name, StringType()) if column.name in text_ids else column for column in columns]
    return reader.schema(StructType(texts)).option("header", True).load(spark_path(uri))


def _scored(rows: DataFrame, scorer: Scorer) -> DataFrame:
    """The rows with the model's outputs and, by feature, whether a value is unknown to it."""
    sent = rows.sparkSession.sparkContext.broadcast(scorer)
    kept = [field for field in rows.schema if field.name not in scorer.outputs]
    values = [StructField(name, DoubleType()) for name in scorer.outputs]
    flags = [StructField(_UNKNOWN + name, BooleanType()) for name in scorer.counted]

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            scored = sent.value.score(pa.Table.from_batches([batch]))
            flagged = {_UNKNOWN + name: unknown for name, unknown in scored.unknown.items()}
            yield from with_columns(pa.Table.from_batches([batch]), scored.values | flagged).to_batches()

    return rows.mapInArrow(work, StructType([*kept, *values, *flags]))
