"""A task of a trained model as programs: `torch.export` (.pt2) and ONNX, compared with the model before they are kept.

The packages of the extra `serving` are imported when they are needed.
"""

import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from ncs.data_loading import Features
from ncs.errors import ExportError
from ncs.kinds.layout import NO_ID
from ncs.nets.inputs import InputSpec
from ncs.nets.model import Model
from ncs.serving.blend import Serving, serving
from ncs.serving.samples import as_one_request, draw, extremes
from ncs.tasks import Task

IDS, NUMBERS = "ids", "numbers"
"""The names of the inputs: int64 and float32, [batch, columns]. Only a layout with numbers has the second one."""
TOLERANCE = 1e-5
"""The largest difference of a prediction from the model's: a few times the rounding of float32."""
Predictor = Callable[[Features], Tensor]
"""What an exported program computes: inputs of a batch -> predictions [batch]."""
_ROWS = 4096
_LARGEST = 2**31 - 2**20
"""Bytes: the limit of a protocol buffer, and so of an ONNX file, without some room for its graph."""


@dataclass(frozen=True)
class Program:
    """A task's model: the content of its files by their ending, and its card."""

    files: dict[str, bytes]
    card: dict[str, Any]


def export(net: Model, task: Task) -> Program:
    """The task's subnetwork of all members, its trees, or both, as files.

    Raises ExportError if packages are missing, if the model has neither, and if a file, read again, predicts otherwise
    than the model.
    """
    packages = {name: _version(name) for name in ("onnx", "onnxruntime", "onnxscript")}
    small = serving(net, task.name)
    with _silent():
        files = {"pt2": _pt2(small), "onnx": _onnx(small, task.prediction)}
    predictors = {"pt2": torch_predictor(files["pt2"]), "onnx": onnx_predictor(files["onnx"])}
    samples = _samples(net.spec.inputs, small.request)
    differences = {ending: _checked(net, task.name, ending, predict, samples) for ending, predict in predictors.items()}
    card = {
        "task": task.name,
        **_inputs(net.spec.inputs),
        "output": {"name": task.prediction, "dtype": "float32", "shape": ["batch"], "range": [0, 1]},
        "request": {"fields": [net.spec.inputs.layout.vectors[n] for n in small.request], "macs": small.request_macs()},
        **small.sizes(),
        "difference": differences,
        "difference_allowed": TOLERANCE,
        "bytes": {ending: len(content) for ending, content in files.items()},
        "packages": {"torch": torch.__version__, **packages},
    }
    return Program(files, card)


def _inputs(spec: InputSpec) -> dict[str, Any]:
    """The features in order, where each stands, the number of ids of those that have some, the inputs' forms."""
    layout = spec.layout
    columns = {
        name: {"input": input, "first": span.start, "length": span.stop - span.start}
        for input, spans in ((IDS, layout.id_spans), (NUMBERS, layout.number_spans))
        for name, span in spans.items()
    }
    numbers = {"name": NUMBERS, "dtype": "float32", "shape": ["batch", layout.number_width], "missing": "NaN"}
    return {
        "fields": layout.names,
        "columns": columns,
        "ids": {slot.name: spec.sizes[slot.table] for slot in layout.ids},
        "input": {
            "name": IDS,
            "dtype": "int64",
            "shape": ["batch", layout.id_width],
            "other_ids": "as 0",
            **({"padding": NO_ID} if any(slot.is_list for slot in layout.ids) else {}),
        },
        **({"numbers": numbers} if layout.number_width else {}),
    }


def torch_predictor(content: bytes) -> Predictor:
    """The function in a .pt2 file: inputs of a batch -> predictions [batch]."""
    # Its guards check what the card says of the input, and take longer than a small batch.
    module = torch.export.load(io.BytesIO(content)).module(check_guards=False)
    return lambda features: module(*_arguments(features))


def onnx_predictor(content: bytes, threads: int = 1) -> Predictor:
    """The function in an ONNX file, run by onnxruntime."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def predict(features: Features) -> Tensor:
        named = {name: values.numpy() for name, values in zip((IDS, NUMBERS), _arguments(features), strict=False)}
        return torch.from_numpy(session.run(None, named)[0])

    return predict


def _arguments(features: Features) -> tuple[Tensor, ...]:
    """The inputs of a program."""
    return (features.ids, features.numbers) if features.numbers.shape[1] else (features.ids,)


def _pt2(net: Serving) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(_traced(net), buffer)
    return buffer.getvalue()


def _onnx(net: Serving, output: str) -> bytes:
    size = net.bytes()
    if size > _LARGEST:
        raise ExportError(f"the model's {size:,} bytes are more than an ONNX file can have; raise fields' min_count")
    program = torch.onnx.export(
        _traced(net),
        dynamo=True,
        verbose=False,
        input_names=[IDS, NUMBERS][: len(_example(net))],
        output_names=[output],
        dynamic_shapes=tuple({0: Dim("batch")} for _ in _example(net)),
    )
    assert program is not None
    # Branches leave unused constants, of which onnxruntime warns when the model is loaded.
    importlib.import_module("onnxscript.optimizer").remove_unused_nodes(program.model)
    return program.model_proto.SerializeToString()


def _traced(net: Serving) -> torch.export.ExportedProgram:
    batch, example = Dim("batch", min=1), _example(net)
    return torch.export.export(net, example, dynamic_shapes=tuple({0: batch} for _ in example))


def _example(net: Serving) -> tuple[Tensor, ...]:
    """Two rows."""
    layout = net.layout
    ids = torch.zeros(2, layout.id_width, dtype=torch.int64)
    return _arguments(Features(ids, torch.zeros(2, layout.number_width)))


@torch.no_grad()
def _checked(net: Model, task: str, ending: str, predict: Predictor, samples: Sequence[Features]) -> float:
    """The largest difference from the model's predictions, over all samples."""
    largest = 0.0
    for rows in samples:
        difference = float((predict(rows) - net.probability(rows, task)).abs().max())
        if not difference <= TOLERANCE:  # nor NaN
            raise ExportError(
                f"the {ending} program of {task} predicts otherwise than the trained model, by {difference:.2g} on "
                f"{rows.rows} rows, at most {TOLERANCE:.0e} expected; nothing is written"
            )
        largest = max(largest, difference)
    return largest


def _samples(spec: InputSpec, request: Sequence[int]) -> list[Features]:
    """Rows of many requests, of one request, of one except for the last row, and a single row."""
    many = Features.joined([draw(spec, _ROWS), extremes(spec)])
    single = as_one_request(many, spec, request)
    return [many, single, Features.joined([single[:-1], many[-1:]]), many[:1]]


def _version(package: str) -> str:
    try:
        importlib.import_module(package)
    except ImportError:
        raise ExportError(
            f"ONNX programs need the package {package}, which is not installed; pip install 'ncs[serving]'"
        ) from None
    return version(package)


@contextmanager
def _silent() -> Iterator[None]:
    """Without the exporters' warnings of missing optional packages and of their own deprecated functions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
