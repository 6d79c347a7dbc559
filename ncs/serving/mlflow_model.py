"""An exported model as an MLflow model (pyfunc): signature, input example, the encoder inside.

`mlflow models serve` and Databricks Model Serving run it as it is. MLflow is imported when one is written.
"""

import importlib
import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

import ncs
from ncs.errors import ExportError
from ncs.kinds import Buckets, Feature, Number
from ncs.kinds.history import Past
from ncs.serving.raw import LENGTH, RANKSCORE

_PACKAGES = ("numpy", "onnxruntime", "pandas", "pyarrow", "pydantic")
"""The packages that the served model imports, beside MLflow, at the versions that wrote it."""


def save(
    folder: Path,
    files: Mapping[str, bytes],
    features: Mapping[str, Feature],
    columns: Mapping[str, pa.DataType],
    example: Mapping[str, Sequence[Any]],
) -> None:
    """Write an MLflow model into a folder that is not there yet.

    Args:
        folder: a local one.
        files: of the model (`ncs.serving.raw.model_files`).
        features: that the model needs.
        columns: the types of silver/samples, whose values are the raw ones.
        example: some rows, a list a column.

    Raises:
        ExportError: MLflow is not installed.
    """
    try:
        pyfunc = importlib.import_module("mlflow.pyfunc")
        models = importlib.import_module("mlflow.models")
    except ImportError:
        raise ExportError(
            "an MLflow model needs MLflow, which is not installed: pip install 'mlflow-skinny>=2'"
        ) from None
    import pandas as pd

    types = raw_types(features, columns)
    predictions = [name.removesuffix(".onnx") for name in files if name.endswith(".onnx")]
    signature = models.ModelSignature(inputs=_inputs(types, features), outputs=_outputs(predictions))
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # of its advice on types and environments
    importlib.import_module("mlflow.environment_variables").MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "model"
        place.mkdir()
        for name, content in files.items():
            (place / name).write_bytes(content)
        pyfunc.save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"model": str(place)},
            code_paths=[str(Path(ncs.__file__).parent)],
            signature=signature,
            input_example=pd.DataFrame(example),
            pip_requirements=[
                f"mlflow=={version('mlflow-skinny')}",
                *(f"{name}=={version(name)}" for name in _PACKAGES),
            ],
        )


def raw_types(features: Mapping[str, Feature], columns: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """The type of each feature's raw values, and of `length_seconds` where rows have one.

    `columns`: the types of silver/samples. A number may be missing, so that whole numbers are doubles where they are
    no ids; of a history the elements have the type of its field; a statistic is a number.
    """
    types: dict[str, pa.DataType] = {}
    for name, feature in features.items():
        if isinstance(feature, Number | Buckets):
            types[name] = pa.float64()
        elif isinstance(feature, Past):
            types[name] = pa.list_(columns.get(feature.field, pa.string()))
        else:
            types[name] = columns.get(name, pa.string())
    if LENGTH in columns:
        types.setdefault(LENGTH, pa.float64())
    return types


def _inputs(types: Mapping[str, pa.DataType], features: Collection[str]) -> Any:
    schema = importlib.import_module("mlflow.types.schema")
    columns = [schema.ColSpec(_type(dtype), name, required=name in features) for name, dtype in types.items()]
    return schema.Schema(columns)


def _outputs(predictions: Sequence[str]) -> Any:
    schema = importlib.import_module("mlflow.types.schema")
    return schema.Schema([schema.ColSpec("double", name) for name in (*predictions, RANKSCORE)])


def _type(dtype: pa.DataType) -> Any:
    """The type of MLflow that JSON's values are read as."""
    if pa.types.is_list(dtype):
        return importlib.import_module("mlflow.types.schema").Array(_type(dtype.value_type))
    kinds = (
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_integer, "long"),
        (pa.types.is_floating, "double"),
        (pa.types.is_decimal, "double"),
    )
    return importlib.import_module("mlflow.types.schema").DataType[
        next((name for is_kind, name in kinds if is_kind(dtype)), "string")
    ]
