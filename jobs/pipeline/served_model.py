"""An exported model as an MLflow model that takes raw values, beside its programs in the run's folder."""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.job import Job
from jobs.pipeline.chosen import Chosen
from ncs.config import Config
from ncs.kinds import Buckets, Number, Vector
from ncs.kinds.history import Past
from ncs.lake import layout, storage
from ncs.lake.erasure import erased_users, user_digest
from ncs.lake.layout import Lake
from ncs.lake.vocabulary import read_ids
from ncs.serving import mlflow_model, raw

FOLDER = "mlflow"
"""Below `serving` of the model."""
PSEUDONYMS = "the lake's user ids are pseudonyms (privacy.key), which no request has"
_USER = "user_id"


def write(job: Job, chosen: Chosen, programs: Mapping[str, bytes]) -> str | None:
    """Write the MLflow model; `programs`: prediction -> ONNX program. Returns where, None where there cannot be one.

    The values of the vocabulary are in it, user ids among them: those of erased users are left out, `ncs erase`
    removes the whole folder, and with `privacy.key`, whose pseudonyms no request has, none is written.
    """
    place = job.lake.uri("models", chosen.ref.run_id, chosen.key, "serving", FOLDER)
    storage.remove(place)
    if chosen.conf.privacy.key is not None:
        job.say(f"export: no MLflow model, {PSEUDONYMS}")
        return None
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / FOLDER
        save(job.lake, chosen, programs, local)
        for path in sorted(path for path in local.rglob("*") if path.is_file()):
            storage.write_bytes(storage.join(place, *path.relative_to(local).parts), path.read_bytes())
    return place


def save(lake: Lake, chosen: Chosen, programs: Mapping[str, bytes], folder: Path) -> None:
    """Write the MLflow model into a local folder that is not there yet."""
    vocabulary, columns, conf = _vocabulary(lake, chosen), _columns(lake, chosen.conf.logs.text_ids), chosen.conf
    files = raw.model_files(conf.part("fields", "statistics", "history"), vocabulary, programs, conf.logs.text_ids)
    mlflow_model.save(folder, files, conf.features, columns, example(conf, vocabulary, columns))


def example(conf: Config, vocabulary: pa.Table, columns: Mapping[str, pa.DataType]) -> dict[str, list[Any]]:
    """A row of frequent values for the signature; of an unknown user, for it is nobody's business who is known."""
    first = vocabulary.filter(pc.equal(vocabulary["id"], 1))
    frequent = dict(zip(first["field"].to_pylist(), first["value"].to_pylist(), strict=True))
    types = mlflow_model.raw_types(conf.features, columns)
    row: dict[str, list[Any]] = {}
    for name, dtype in types.items():
        feature = conf.features.get(name)
        if isinstance(feature, Past):
            row[name] = [[_as(frequent.get(feature.field, "0"), dtype.value_type)]]
        elif isinstance(feature, Vector):
            row[name] = [[0.0] * feature.length]
        elif feature is None or isinstance(feature, Number | Buckets):
            row[name] = [20.0]
        else:
            value = "0" if name == _USER else frequent.get(name, "0")
            row[name] = [[_as(value, dtype.value_type)] if pa.types.is_list(dtype) else _as(value, dtype)]
    return row


def _as(text: str, dtype: pa.DataType) -> Any:
    if pa.types.is_boolean(dtype):
        return text == "true"
    if pa.types.is_integer(dtype):
        return int(text)
    return float(text) if pa.types.is_floating(dtype) or pa.types.is_decimal(dtype) else text


def _vocabulary(lake: Lake, chosen: Chosen) -> pa.Table:
    """The version that the model was trained with, without users that were erased since."""
    rows = read_ids(lake, chosen.described.lineage.tables[layout.VOCABULARY])
    erased = erased_users(lake)
    if not erased:
        return rows
    kept = [
        field != _USER or not value.lstrip("-").isdigit() or user_digest(int(value)) not in erased
        for field, value in zip(rows["field"].to_pylist(), rows["value"].to_pylist(), strict=True)
    ]
    return rows.filter(pa.array(kept))


def _columns(lake: Lake, text_ids: Collection[str]) -> dict[str, pa.DataType]:
    """The types that requests have: those of silver/samples, texts where numbers stand for them there."""
    if not lake.has(layout.SAMPLES):
        return {}
    schema = pa.schema(lake.table(layout.SAMPLES).schema().to_arrow())
    return {field.name: _texts(field.type) if field.name in text_ids else field.type for field in schema}


def _texts(dtype: pa.DataType) -> pa.DataType:
    return pa.list_(pa.string()) if pa.types.is_list(dtype) else pa.string()
