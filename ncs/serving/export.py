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

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from ncs.errors import ExportError
from ncs.nets.layers import Subnetwork
from ncs.nets.model import Model
from ncs.serving.model import ServingNet, macs
from ncs.tasks import Task

INPUT = "ids"
"""The name of the input: int64 [batch, fields]."""
TOLERANCE = 1e-5
"""The largest difference of a prediction from the model's: a few times the rounding of float32."""
_ROWS = 4096
_LARGEST = 2**31 - 2**20
"""Bytes: the limit of a protocol buffer, and so of an ONNX file, without some room for its graph."""


@dataclass(frozen=True)
class Program:
    """A task's model: the content of its files by their ending, and its card."""

    files: dict[str, bytes]
    card: dict[str, Any]


def export(net: Model, task: Task, fields: Sequence[str]) -> Program:
    """The task's subnetwork as files; `fields` are the names of the columns of ids.

    Raises ExportError if packages are missing, if the model has no subnetwork, and if a file, read again, predicts
    otherwise than the model.
    """
    packages = {name: _version(name) for name in ("onnx", "onnxruntime", "onnxscript")}
    subnetwork = net.subnetwork(task.name)
    try:
        small = ServingNet(net.spec, subnetwork)
    except ExportError as err:
        raise ExportError(f"{task.name}: {err}") from None
    with _silent():
        files = {"pt2": _pt2(small), "onnx": _onnx(small, task.prediction)}
    predictors = {"pt2": torch_predictor(files["pt2"]), "onnx": onnx_predictor(files["onnx"])}
    samples = _samples(net.spec.inputs.sizes, small.request)
    differences = {ending: _checked(net, task.name, ending, predict, samples) for ending, predict in predictors.items()}
    card = {
        "task": task.name,
        "fields": list(fields),
        "ids": dict(zip(fields, net.spec.inputs.sizes, strict=True)),
        "input": {"name": INPUT, "dtype": "int64", "shape": ["batch", len(fields)], "other_ids": "as 0"},
        "output": {"name": task.prediction, "dtype": "float32", "shape": ["batch"], "range": [0, 1]},
        "request": {"fields": [fields[n] for n in small.request], "macs": small.request_macs()},
        **_sizes(subnetwork, small),
        "difference": differences,
        "difference_allowed": TOLERANCE,
        "bytes": {ending: len(content) for ending, content in files.items()},
        "packages": {"torch": torch.__version__, **packages},
    }
    return Program(files, card)


def _sizes(subnetwork: Subnetwork, small: ServingNet) -> dict[str, Any]:
    """Widths, parameters and multiplications a row before (with all connections) and after."""
    before, after = [layer.weight.shape[1] for layer in subnetwork.layers] + [1], small.widths()
    embeddings = small.table.numel()
    kept = sum(int((layer.weight != 0).sum()) for layer in subnetwork.layers)
    whole = embeddings + macs(before) + sum(before[1:])
    return {
        "layers": {"before": before, "after": after},
        "parameters": {"before": whole, "after": small.size(), "embeddings": embeddings, "connections_kept": kept},
        "macs": {"before": macs(before), "after": macs(after)},
    }


def torch_predictor(content: bytes) -> Callable[[Tensor], Tensor]:
    """The function in a .pt2 file: ids int64 [batch, fields] -> predictions [batch]."""
    # Its guards check what the card says of the input, and take longer than a small batch.
    return torch.export.load(io.BytesIO(content)).module(check_guards=False)


def onnx_predictor(content: bytes, threads: int = 1) -> Callable[[Tensor], Tensor]:
    """The function in an ONNX file, run by onnxruntime."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda ids: torch.from_numpy(session.run(None, {INPUT: ids.numpy()})[0])


def _pt2(net: ServingNet) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(_traced(net), buffer)
    return buffer.getvalue()


def _onnx(net: ServingNet, output: str) -> bytes:
    size = net.bytes()
    if size > _LARGEST:
        raise ExportError(f"the model's {size:,} bytes are more than an ONNX file can have; raise fields' min_count")
    program = torch.onnx.export(
        _traced(net),
        dynamo=True,
        verbose=False,
        input_names=[INPUT],
        output_names=[output],
        dynamic_shapes=({0: Dim("batch")},),
    )
    assert program is not None
    # Branches leave unused constants, of which onnxruntime warns when the model is loaded.
    importlib.import_module("onnxscript.optimizer").remove_unused_nodes(program.model)
    return program.model_proto.SerializeToString()


def _traced(net: ServingNet) -> torch.export.ExportedProgram:
    ids = torch.zeros(2, len(net.sizes), dtype=torch.int64)
    return torch.export.export(net, (ids,), dynamic_shapes=({0: Dim("batch", min=1)},))


@torch.no_grad()
def _checked(
    net: Model, task: str, ending: str, predict: Callable[[Tensor], Tensor], samples: Sequence[Tensor]
) -> float:
    """The largest difference from the model's predictions, over all samples."""
    largest = 0.0
    for rows in samples:
        difference = float((predict(rows) - net.probability(rows, task)).abs().max())
        if not difference <= TOLERANCE:  # nor NaN
            raise ExportError(
                f"the {ending} program of {task} predicts otherwise than the trained model, by {difference:.2g} on "
                f"{len(rows)} rows, at most {TOLERANCE:.0e} expected; nothing is written"
            )
        largest = max(largest, difference)
    return largest


def _samples(sizes: Sequence[int], request: Sequence[int]) -> list[Tensor]:
    """Ids int64 [rows, fields]: of many requests, of one request, of one except for the last row, and a single row.

    They are random, with the first and the last id of each field.
    """
    random = np.random.default_rng(0)
    drawn = torch.from_numpy(random.integers(0, sizes, size=(_ROWS, len(sizes))))
    many = torch.cat([drawn, torch.zeros(1, len(sizes), dtype=torch.int64), torch.tensor([sizes]) - 1])
    single = many.clone()
    single[:, request] = many[0, request]
    return [many, single, torch.cat([single[:-1], many[-1:]]), many[:1]]


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
