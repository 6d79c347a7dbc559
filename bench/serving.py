"""How long a prediction takes: the exported subnetwork beside the dense and the masked network, one after another.

make bench-serving                                        # masks drawn at densities; minutes
.venv/bin/python -m bench.serving --lake lake/demo --json serving.json     # a trained run's connection_share
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch
from torch import Tensor

from bench.work import ROOT, sizes_of
from jobs.pipeline.runs import latest_run
from ncs import config
from ncs.config import Config
from ncs.data_loading import Features
from ncs.lake.layout import Lake
from ncs.models import build
from ncs.nets.inputs import InputSpec
from ncs.nets.masked import MaskedNet
from ncs.nets.model import Model
from ncs.pruning.mask import Mask
from ncs.runs.predictor import Predictor
from ncs.serving.export import export, onnx_predictor, torch_predictor
from ncs.serving.samples import as_one_request, draw
from ncs.tasks import CTR, named_tasks

Predict = Callable[[Features], Tensor]
DENSE = "dense"
"""The row that ratios are taken from."""


def main() -> None:
    """Measure, print a table for each network, write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", help="measure the newest run's connection_share instead of drawn masks")
    parser.add_argument("--density", type=float, nargs="+", default=[0.34, 0.24], help="of drawn masks")
    parser.add_argument("--inputs", action="store_true", help="drawn masks keep inputs whole: prune.granularity input")
    parser.add_argument("--ids", type=int, default=211_000, help="rows of the embedding table, with drawn masks")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 100, 4096])
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each, in alternation")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    nets = [trained(args.lake)] if args.lake else [drawn(density, args.ids, args.inputs) for density in args.density]
    figures = []
    for net, conf in nets:
        program = export(net, named_tasks(conf)[CTR])
        layers = program.card["layers"]
        density = net.task_masks[CTR].density()["all"] if CTR in net.task_masks else 1.0
        print(f"\ndensity {density:.2f}, layers {layers['before']} -> {layers['after']}, 1 thread\n")
        several = field(net, program.files)
        spec = net.spec.inputs
        request = [spec.layout.vectors.index(name) for name in program.card["request"]["fields"]]
        for batch in args.batches:
            for kind, features in rows(spec, batch, request).items():
                measured = measure(several, features, args.repeats)
                about = {"density": density, "layers": layers, "batch": batch, "rows": kind}
                figures.append({**about, "milliseconds": measured})
                print(table(f"{batch:,} {kind}", measured), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def drawn(density: float, ids: int, inputs: bool) -> tuple[Model, Config]:
    """The demo's network with masks drawn at one density; what its weights are has no part in its speed.

    `inputs`: connections that read the same input are kept together.
    """
    conf = config.load(ROOT / "conf" / "demo.yaml").for_model("connection_share")
    net = build(conf, sizes_of(ids), seed=1).eval()
    assert isinstance(net, MaskedNet)

    def mask(weight: Tensor) -> Tensor:
        drawn = torch.rand_like(weight[:1]).expand_as(weight) if inputs else torch.rand_like(weight)
        return (drawn < density).float()

    net.task_masks = {
        task: Mask({name: mask(weight) for name, weight in net.maskable(task).items()}) for task in net.tasks
    }
    return net, conf


def trained(lake: str) -> tuple[Model, Config]:
    """ConnectionShare of the run that was finished last."""
    found = latest_run(Lake.at(lake))
    folder = Lake.at(lake).uri("models", found.run_id)
    net = Predictor.load(folder, "connection_share", found.configuration, found.sizes).nets[CTR]
    return net, found.configuration


def field(net: Model, files: dict[str, bytes]) -> dict[str, Predict]:
    """Who is measured."""
    masks = net.task_masks

    def under(task_masks: dict[str, Mask]) -> Predict:
        def predict(features: Features) -> Tensor:
            net.task_masks = task_masks
            return net.probability(features, CTR)

        return predict

    return {
        DENSE: under({}),
        "masked": under(masks),
        "exported, torch": torch_predictor(files["pt2"]),
        "exported, onnxruntime": onnx_predictor(files["onnx"], threads=1),
    }


def rows(spec: InputSpec, batch: int, request: list[int]) -> dict[str, Features]:
    """Rows at random, and the same with the first one's request in all; a row alone is one request."""
    many = draw(spec, batch)
    if batch == 1:
        return {"row": many}
    return {"rows of one request": as_one_request(many, spec, request), "rows of many requests": many}


@torch.no_grad()
def measure(several: dict[str, Predict], features: Features, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of a call, of each in turn; a measurement is as many calls as give about as many rows.

    CPU time: with one thread it is what a call takes on idle cores, and busy ones interrupt long calls more often.
    """
    calls = max(1, min(200, 4096 // features.rows))
    found: dict[str, list[float]] = {name: [] for name in several}
    for repeat in range(-2, repeats):  # the first two warm up
        for name, predict in several.items():
            started = time.process_time()
            for _ in range(calls):
                predict(features)
            if repeat >= 0:
                found[name].append(1000 * (time.process_time() - started) / calls)
    return found


def table(title: str, measured: dict[str, list[float]]) -> str:
    """As Markdown; ratios say how many times faster than the dense network, by pairs of one turn, the median."""
    lines = [f"| {title} | CPU ms: median | min | max | times as fast |", "|---|---|---|---|---|"]
    for name, values in measured.items():
        ratio = statistics.median(dense / own for dense, own in zip(measured[DENSE], values, strict=True))
        lines.append(
            f"| {name} | {statistics.median(values):.3f} | {min(values):.3f} | {max(values):.3f} | {ratio:.2f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
