"""An exported model that takes raw values: a folder with its encoder and an ONNX program a task.

Whoever has the folder and this package can score rows; neither torch nor Spark nor the lake is needed.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ncs.kinds import Feature, FeatureField, History, Statistics, all_features
from ncs.kinds.base import Raw
from ncs.serving.encoding import Encoder

FEATURES, VOCABULARY = "features.json", "vocabulary.parquet"
"""Kinds of encoding by feature; `field, value, id` of what they have learnt: ids, bucket edges, scales."""
RANKSCORE, LENGTH = "rankscore", "length_seconds"
"""The output that videos are ranked by, pCTR * pCVR * length, and the column of the length, 1 without it."""
_SECTIONS = ("fields", "statistics", "history")
_FIELDS = TypeAdapter(dict[str, FeatureField])
_STATISTICS, _HISTORY = TypeAdapter(list[Statistics]), TypeAdapter(dict[str, History])
Scores = dict[str, NDArray[np.float64]]
"""Output -> [rows]: each task's prediction by its column's name, e.g. `pctr`, and `rankscore`."""


def model_files(
    sections: Mapping[str, Any], vocabulary: pa.Table, programs: Mapping[str, bytes], text_ids: Sequence[str] = ()
) -> dict[str, bytes]:
    """The files of the folder by name.

    Args:
        sections: `fields`, `statistics` and `history` of the configuration as plain values.
        vocabulary: the columns `field, value, id` of gold/vocabulary, at the version that the model was trained with.
        programs: a task's prediction, as `pctr` -> its ONNX program.
        text_ids: `logs.text_ids`.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(vocabulary.select(["field", "value", "id"]), sink)
    features = {name: sections[name] for name in _SECTIONS}
    features |= {"predictions": list(programs), "text_ids": list(text_ids)}
    onnx = {f"{prediction}.onnx": content for prediction, content in programs.items()}
    return {
        FEATURES: json.dumps(features, indent=1).encode(),
        VOCABULARY: sink.getvalue().to_pybytes(),
        **onnx,
    }


@dataclass(frozen=True)
class RawScorer:
    """Raw values of rows in, each task's prediction and the rank score out."""

    encoder: Encoder
    programs: Mapping[str, Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]]
    """Prediction -> its program: named inputs -> [rows]."""

    @classmethod
    def load(cls, folder: str | Path) -> "RawScorer":
        """From a folder with the files of `model_files`."""
        place = Path(folder)
        described = json.loads((place / FEATURES).read_text())
        fields: dict[str, Feature] = dict(_FIELDS.validate_python(described["fields"]))
        features = all_features(
            fields,
            _STATISTICS.validate_python(described["statistics"]),
            _HISTORY.validate_python(described["history"]),
        )
        encoder = Encoder(features, pq.read_table(place / VOCABULARY), described.get("text_ids", ()))
        return cls(encoder, {name: _program(place / f"{name}.onnx") for name in described["predictions"]})

    def predict(self, columns: Mapping[str, Raw]) -> Scores:
        """Scores of rows, a column a feature; `length_seconds` may be given besides. Raises DataError if one lacks."""
        inputs = self.encoder.inputs(columns)
        named: dict[str, NDArray[Any]] = {"ids": inputs.ids.astype(np.int64)}
        if self.encoder.layout.number_width:
            named["numbers"] = inputs.numbers
        scores = {name: program(named).astype(np.float64) for name, program in self.programs.items()}
        if {"pctr", "pcvr"} <= scores.keys():
            length = np.asarray(columns[LENGTH], np.float64) if LENGTH in columns else 1.0
            scores[RANKSCORE] = scores["pctr"] * scores["pcvr"] * length
        return scores


def _program(path: Path) -> Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a server answers several requests at once
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (output,) = [node.name for node in session.get_outputs()]

    def run(named: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        (values,) = session.run([output], dict(named))
        return values

    return run
