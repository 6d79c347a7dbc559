"""Score rows of raw values with a kept model: a file or a Delta table in, the same rows with predictions out."""

import io
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np
import pyarrow as pa  # before torch: the other order has crashed
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow import csv, json

from jobs.job import Job
from jobs.pipeline.chosen import Chosen, choose
from ncs.errors import ConfigError, DataError
from ncs.kinds import IdSlot
from ncs.kinds.arrays import stack
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.lake.registry import CHAMPION
from ncs.runs.predictor import Predictor
from ncs.serving import Encoder
from ncs.tasks import CTR, CVR, tasks_of

_READERS: Mapping[str, Callable[[BinaryIO], pa.Table]] = {
    "parquet": pq.read_table,
    "jsonl": json.read_json,
    "json": json.read_json,
    "csv": csv.read_csv,
}
"""How a file's name ends -> what reads it. JSON is of lines."""
RANKSCORE = "rankscore"


def run(job: Job, source: str, output: str, model: str = CHAMPION) -> None:
    """Read, encode, predict, write; say how many values the model does not know.

    Raises DataError for rows that cannot be read, or lack a feature; nothing is written then.
    """
    chosen = choose(job.lake, model)
    if chosen.conf.privacy.key is not None:
        raise ConfigError("privacy.key: the lake's user ids are pseudonyms, which raw rows do not have; predict there")
    rows = read(job.lake, source)
    scores, unknown = predict(job.lake, chosen, rows)
    for name, values in scores.items():
        rows = rows.drop_columns([name]) if name in rows.column_names else rows
        rows = rows.append_column(name, pa.array(values))
    content = io.BytesIO()
    pq.write_table(rows, content)
    storage.write_bytes(storage.absolute(output), content.getvalue())
    job.say(f"score: {len(rows):,} rows scored by {chosen.ref}, in {output}")
    for name, count in unknown.items():
        job.say(f"score: {count:,} of {len(rows):,} values of {name} are unknown to the model")


def read(lake: Lake, source: str) -> pa.Table:
    """Rows of a file (Parquet, CSV with a header, JSON lines), or of a Delta table by its name in the lake or its path.

    Raises DataError where there is none, or it cannot be read.
    """
    ending = source.rpartition(".")[2].lower()
    try:
        if ending in _READERS:
            with storage.open_file(source) as file:
                rows = _READERS[ending](file)
        else:
            uri = lake.uri(source) if lake.has(source) else storage.absolute(source)
            if not DeltaTable.is_deltatable(storage.alias(uri)):
                raise DataError(
                    f"--input {source}: neither a file that ends with .{', .'.join(_READERS)}, nor a Delta table"
                )
            rows = DeltaTable(storage.alias(uri)).to_pyarrow_table()
    except (OSError, pa.ArrowException) as err:
        raise DataError(f"--input {source} cannot be read: {str(err).partition(chr(10))[0]}") from None
    if not len(rows):
        raise DataError(f"--input {source} has no row")
    return rows


def predict(lake: Lake, chosen: Chosen, rows: pa.Table) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Each task's predictions of raw rows, and `rankscore`; field -> how many of its values the model does not know.

    The rank score is pCTR * pCVR * length, as the simulation ranks by, without the length where rows have none.
    """
    described, conf = chosen.described, chosen.conf
    version = described["lineage"]["tables"][layout.VOCABULARY]
    encoder = Encoder(conf.features, lake.read(layout.VOCABULARY, version, ["field", "value", "id"]))
    missing = [name for name in conf.features if name not in rows.column_names]
    if missing:
        raise DataError(
            f"the rows have no {', '.join(missing)}, which {chosen.ref} needs; they have {rows.column_names}"
        )
    encoded = encoder.encode({name: rows[name].combine_chunks() for name in conf.features})
    inputs = stack(conf.layout, encoded, len(rows))
    predictor = Predictor.load(lake.uri("models", chosen.ref.run_id), chosen.model, conf, described["sizes"])
    predictions = predictor.predict(inputs.ids, inputs.numbers if conf.layout.number_width else None)
    scores = {tasks_of(conf)[task].prediction: values for task, values in predictions.items()}
    length = rows["length_seconds"].to_numpy().astype(float) if "length_seconds" in rows.column_names else 1.0
    scores[RANKSCORE] = predictions[CTR] * predictions[CVR] * length
    scalars = [slot.name for slot in conf.layout.slots if isinstance(slot, IdSlot) and not slot.is_list]
    counts = {name: int((encoded[name] == 0).sum()) for name in scalars}
    return scores, {name: count for name, count in counts.items() if count}
