"""Score rows of raw values with a kept model: a file or a Delta table in, the same rows with predictions out."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa  # before torch: the other order has crashed
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow import csv, json

from jobs.job import Job
from jobs.pipeline.chosen import Chosen, choose
from ncs.config import Config
from ncs.errors import ConfigError, DataError, first_line
from ncs.kinds import IdSlot
from ncs.kinds.arrays import stack
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.lake.registry import CHAMPION, ModelRef
from ncs.lake.vocabulary import read_ids
from ncs.runs.predictor import Predictor
from ncs.serving import Encoder
from ncs.serving.raw import LENGTH, RANKSCORE
from ncs.tasks import CTR, CVR, named_tasks


def _read_csv(file: BinaryIO, text_ids: Sequence[str]) -> pa.Table:
    """With `text_ids` as texts, also where all their values look like numbers."""
    types = dict.fromkeys(text_ids, pa.string())
    return csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=types))


_READERS: Mapping[str, Callable[[BinaryIO, Sequence[str]], pa.Table]] = {
    "parquet": lambda file, _: pq.read_table(file),
    "jsonl": lambda file, _: json.read_json(file),
    "json": lambda file, _: json.read_json(file),
    "csv": _read_csv,
}
"""How a file's name ends -> what reads it. JSON is of lines."""


class Scored(NamedTuple):
    """A model's predictions for raw rows."""

    values: dict[str, np.ndarray]
    """Each task's predictions by their column's name, and `rankscore`, float [rows]."""
    unknown: dict[str, np.ndarray]
    """Feature of single ids -> whether the model does not know a row's value, bool [rows]."""


@dataclass(frozen=True)
class Scorer:
    """A kept model that takes raw rows; picklable, so that Spark can send it to its executors."""

    ref: ModelRef
    conf: Config
    vocabulary: pa.Table
    predictor: Predictor

    @classmethod
    def load(cls, lake: Lake, chosen: Chosen) -> "Scorer":
        """A model with the vocabulary that it was trained with."""
        vocabulary = read_ids(lake, chosen.described.lineage.tables[layout.VOCABULARY])
        return cls(chosen.ref, chosen.conf, vocabulary, chosen.predictor(lake))

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of raw values into its inputs."""
        return Encoder(self.conf.features, self.vocabulary, self.conf.logs.text_ids)

    @property
    def outputs(self) -> list[str]:
        """The names of `Scored.values`."""
        return [*(task.prediction for task in named_tasks(self.conf).values()), RANKSCORE]

    @property
    def counted(self) -> list[str]:
        """The features of `Scored.unknown`."""
        return [slot.name for slot in self.conf.layout.slots if isinstance(slot, IdSlot) and not slot.is_list]

    def check(self, columns: Sequence[str]) -> None:
        """Raise DataError for a feature that is not among the columns of the rows."""
        missing = [name for name in self.conf.features if name not in columns]
        if missing:
            raise DataError(
                f"the rows have no {', '.join(missing)}, which {self.ref} needs; they have {', '.join(columns)}"
            )

    def score(self, rows: pa.Table) -> Scored:
        """Predictions of rows. Raises DataError for values of a type that their feature cannot have.

        The rank score is pCTR * pCVR * length, as the simulation ranks by, without the length where rows have none.
        """
        encoded = self.encoder.encode({name: rows[name].combine_chunks() for name in self.conf.features})
        inputs = stack(self.conf.layout, encoded, len(rows))
        predictions = self.predictor.predict(inputs.ids, inputs.numbers if self.conf.layout.number_width else None)
        values = {named_tasks(self.conf)[task].prediction: scores for task, scores in predictions.items()}
        length = rows[LENGTH].to_numpy().astype(float) if LENGTH in rows.column_names else 1.0
        values[RANKSCORE] = predictions[CTR] * predictions[CVR] * length
        return Scored(values, {name: encoded[name] == 0 for name in self.counted})


def run(job: Job, source: str, output: str, model: str = CHAMPION, spark: bool = False) -> None:
    """Read, encode, predict, write; say how many values the model does not know.

    With `spark` rows are never all in memory, `source` may be a folder, and `output` becomes one.

    Raises DataError for rows that cannot be read, or lack a feature; nothing is written then.
    """
    chosen = choose(job.lake, model)
    if chosen.conf.privacy.key is not None:
        raise ConfigError("privacy.key: the lake's user ids are pseudonyms, which raw rows do not have; predict there")
    scorer = Scorer.load(job.lake, chosen)
    if spark:
        from jobs.pipeline.score_on_spark import score

        count, unknown = score(job, scorer, source, output)
    else:
        count, unknown = _score(job.lake, scorer, source, output)
    job.say(f"score: {count:,} rows scored by {chosen.ref}, in {output}")
    for name, unseen in unknown.items():
        if unseen:
            job.say(f"score: {unseen:,} of {count:,} values of {name} are unknown to the model")


def _score(lake: Lake, scorer: Scorer, source: str, output: str) -> tuple[int, dict[str, int]]:
    """Score rows in memory; the number of rows, and of the values of each feature that the model does not know."""
    rows = read(lake, source, scorer.conf.logs.text_ids)
    scorer.check(rows.column_names)
    scored = scorer.score(rows)
    content = io.BytesIO()
    pq.write_table(with_columns(rows, scored.values), content)
    storage.write_bytes(storage.absolute(output), content.getvalue())
    return len(rows), {name: int(flags.sum()) for name, flags in scored.unknown.items()}


def with_columns(rows: pa.Table, columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Rows with further columns behind, in the place of those that are called so."""
    kept = rows.drop_columns([name for name in columns if name in rows.column_names])
    for name, values in columns.items():
        kept = kept.append_column(name, pa.array(values))
    return kept


def read(lake: Lake, source: str, text_ids: Sequence[str] = ()) -> pa.Table:
    """Rows of a file (Parquet, CSV with a header, JSON lines), or of a Delta table by its name in the lake or its path.

    Raises DataError where there is none, or it cannot be read.
    """
    ending = source.rpartition(".")[2].lower()
    try:
        if ending in _READERS:
            with storage.open_file(source) as file:
                rows = _READERS[ending](file, text_ids)
        else:
            uri = lake.uri(source) if lake.has(source) else storage.absolute(source)
            if not DeltaTable.is_deltatable(storage.alias(uri)):
                raise DataError(
                    f"--input {source}: neither a file that ends with .{', .'.join(_READERS)}, nor a Delta table; "
                    f"folders of such files are read with --spark"
                )
            rows = DeltaTable(storage.alias(uri)).to_pyarrow_table()
    except (OSError, pa.ArrowException) as err:
        raise DataError(f"--input {source} cannot be read: {first_line(err)}") from None
    if not len(rows):
        raise DataError(f"--input {source} has no row")
    for name, count in Counter(rows.column_names).items():
        if count > 1:
            raise DataError(f"--input {source}: column {name!r} stands there twice; drop one")
    return rows
