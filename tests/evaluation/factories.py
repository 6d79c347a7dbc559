"""A small lake made by hand, as the stages before the comparison leave it, and a reader of pages."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, write_deltalake

from ncs.evaluation.comparison import Judged
from ncs.evaluation.paired import Figures
from ncs.lake import layout, storage
from ncs.lake.layout import Lake, Record, user_metadata
from ncs.tasks import named_tasks
from tests.factories import toy_conf

RUN = "toy-1"
MODELS = ["single_task", "connection_share"]
CONF = toy_conf(f"train.models=[{','.join(MODELS)}]", "tasks.cvr.weight=4.0")
ROWS = 40
"""Impressions of a day, every second clicked, every fourth with a CVR label."""


def samples() -> list[dict[str, Any]]:
    return [
        {
            "impression_id": f"{day}-{n:02d}",
            "user_id": n,
            "video_id": n % 7,
            "day": day,
            "clicked": n % 2,
            "cvr": n / ROWS if n % 4 == 1 else None,
            "length_seconds": 10.0 + 20 * (n % 8),
            "watched_seconds": n / ROWS * (10.0 + 20 * (n % 8)) if n % 4 == 1 else 0.0,
        }
        for day in CONF.logs.days
        for n in range(ROWS)
    ]


def rows_of_test_days() -> list[dict[str, Any]]:
    return [row for row in samples() if row["day"] in CONF.test_days]


def predictions(models: list[str]) -> list[dict[str, Any]]:
    """Those of the second model are the better ones."""
    return [
        {
            "run_id": RUN,
            "model": model,
            **{key: row[key] for key in ("impression_id", "user_id", "video_id", "day")},
            "pctr": 0.3 + 0.02 * (row["user_id"] % 9) + 0.1 * row["clicked"] * (model != MODELS[0]),
            "pcvr": 0.4,
        }
        for model in models
        for row in rows_of_test_days()
    ]


def line(phase: str, epoch: int, task: str | None = None, number: int | None = None, samples: int = 100) -> dict:
    tasks = [task] if task else ["ctr", "cvr"]
    scores = {"ctr": ("ctr_auc", 0.7 + 0.01 * epoch), "cvr": ("cvr_mse", 0.2 - 0.01 * epoch)}
    loss = {one: {"ctr": 0.6, "cvr": 0.8}[one] for one in tasks}
    head = {"phase": phase, "task": task, "round": number, "epoch": epoch, "loss": loss}
    return {
        **head,
        "validation": dict(scores[one] for one in tasks),
        "skill": 0.4,
        "seconds": 2.0,
        "samples": samples,
        "wait_share": 0.25,
    }


METRICS = {
    "single_task": [line("joint", epoch, task) for task in ("ctr", "cvr") for epoch in (1, 2)],
    "connection_share": [
        line("theta", 1, samples=25),
        *[line("search", 1, task, number) for task in ("ctr", "cvr") for number in (0, 1)],
        *[line("joint", epoch) for epoch in (1, 2)],
    ],
}


def by_layer(first: float, second: float) -> dict[str, float]:
    return {"all": (first + second) / 2, "hidden.0": first, "hidden.1": second}


MASKS = {
    "layers": {"hidden.0": 64, "hidden.1": 64},
    "rounds": {
        task: [
            {"round": 0, "density": by_layer(1.0, 1.0), "validation": scores[0]},
            {"round": 1, "density": by_layer(0.5, 0.75), "validation": scores[1]},
        ]
        for task, scores in {"ctr": (0.70, 0.72), "cvr": (0.20, 0.21)}.items()
    },
    "chosen": {"ctr": 1, "cvr": 0},
    "density": {"ctr": by_layer(0.5, 0.75), "cvr": by_layer(1.0, 1.0)},
    "overlap": [
        {"round": 0, "jaccard": by_layer(1.0, 1.0), "chance": by_layer(1.0, 1.0)},
        {"round": 1, "jaccard": by_layer(0.6, 0.8), "chance": by_layer(0.3, 0.5)},
    ],
    "chosen_overlap": {
        "jaccard": by_layer(0.5, 0.75),
        "chance": by_layer(0.5, 0.75),
        "shared": by_layer(0.5, 0.75),
        "ctr_only": by_layer(0.0, 0.0),
        "cvr_only": by_layer(0.25, 0.25),
    },
    "inputs": {
        figure: {"all": value, "user_id": value, "user_id x video_id": value}
        for figure, value in {"jaccard": 0.5, "chance": 0.4, "shared": 0.5, "ctr_only": 0.2, "cvr_only": 0.1}.items()
    },
    "maps": {
        layer: {"shared": [[1.0, 0.5]], "ctr_only": [[0.0, 0.0]], "cvr_only": [[0.0, 0.5]]}
        for layer in ("hidden.0", "hidden.1")
    },
}
CONFLICT = {
    when: {layer: {"cosine": cosine, "negative": 0.3} for layer in ("embedding", "hidden.0", "hidden.1")}
    for when, cosine in (("theta", 0.2), ("final", -0.1))
}

ARMS = {
    "1) single_task, single_task": ("single_task", "single_task", None),
    "2) single_task, connection_share": ("single_task", "connection_share", 0.015),
    "A/A": ("single_task", "single_task", 0.0),
    "oracle": (None, None, 0.2),
    "random": (None, None, -0.3),
}
"""Arm -> the models of pCTR and pCVR, and how much more view time it gets than the first."""


def simulated(made_at: datetime, simulation: str = "s1", run_id: str = RUN) -> list[dict[str, Any]]:
    """Two days of a ranking simulation, as `ncs simulate` keeps it."""

    def difference(prefix: str, gain: float | None, half: float) -> dict[str, float | None]:
        ends = (None, None, None, None) if gain is None else (gain, gain - half, gain + half, 2 * half)
        return dict(zip((f"{prefix}_{name}" for name in ("gain", "low", "high", "any_day")), ends, strict=True))

    return [
        {
            "simulation_id": simulation,
            "run_id": run_id,
            "made_at": made_at,
            "arm": arm,
            "pctr_model": click,
            "pcvr_model": watch,
            "day": day,
            "users": 100 * day,
            "metric": metric,
            "value": {"view_seconds": 400.0 * (1 + (gain or 0)), "cvr": 0.5, "ctr": 0.25}[metric],
            **difference("test", gain, 0.05),
            **difference("paired", gain, 0.01),
            "sample_ratio": 0.4,
        }
        for day in (1, 2)
        for arm, (click, watch, gain) in ARMS.items()
        for metric in ("view_seconds", "cvr", "ctr")
    ]


def in_bins(model: str, task: str, *bins: tuple[int, float, float]) -> list[dict[str, Any]]:
    """Rows of gold/slices: each bin's rows, mean label and mean prediction."""
    names = ("n", "label", "prediction")
    head = {"run_id": RUN, "model": model, "task": task, "slice": "prediction"}
    errors = [(label * (1 - label) / n) ** 0.5 for n, label, _ in bins]  # of labels of 0 and 1
    return [
        {**head, "place": n, **dict(zip(names, one, strict=True)), "bias_error": error}
        for n, (one, error) in enumerate(zip(bins, errors, strict=True))
    ]


def described(**changes: Any) -> dict[str, Any]:
    tables = {layout.VOCABULARY: 0, "gold/ctr_samples": 2, "gold/cvr_samples": 2}
    lineage = {"tables": tables, "ncs": "0.1.0", "git": None, "packages": {"numpy": "1.26.4"}, "seed": 7, "workers": 1}
    found = {"run_id": RUN, "name": "toy", "models": MODELS, "conf": CONF.model_dump(), "lineage": lineage}
    found |= {"sizes": dict.fromkeys(CONF.fields, 9), "vocabulary": {}}
    return {**found, **changes}


def put(lake: Lake, table: str, rows: list[dict[str, Any]], types: dict[str, pa.DataType], *keys: object) -> None:
    """A table as a stage leaves it, with a record for each key; without Spark, which is slow with small things."""
    records = [Record("test", str(key), {}) for key in keys]
    write_deltalake(
        lake.uri(table),
        pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))),
        partition_by=[name for name in ("run_id", "day") if name in types],
        commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata(records)}),
    )


def write_lake(lake: Lake) -> Lake:
    """What the stages before this one leave, as far as this one, and the notebook, read it."""
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    who = {"impression_id": text, "user_id": whole, "video_id": whole, "day": pa.date32()}
    labels = {"clicked": pa.int32(), "cvr": real, "length_seconds": real, "watched_seconds": real}
    put(lake, layout.SAMPLES, samples(), {**who, **labels}, *CONF.logs.days)
    bad = [{"log": "plays", "day": day, "reason": "bad_watch", "row": "{}"} for day in CONF.logs.days]
    put(lake, layout.QUARANTINE, bad, {"log": text, "day": pa.date32(), "reason": text, "row": text}, *CONF.logs.days)
    types = {"run_id": text, "model": text, **who, "pctr": real, "pcvr": real}
    put(lake, layout.PREDICTIONS, predictions(MODELS), types, RUN)
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": RUN})
    storage.write_json(lake.uri("models", RUN, "run.json"), described())
    for model, lines in METRICS.items():
        content = "".join(json.dumps(one) + "\n" for one in lines)
        storage.write_bytes(lake.uri("models", RUN, model, "metrics.jsonl"), content.encode())
    storage.write_json(lake.uri("models", RUN, "connection_share", "masks.json"), MASKS)
    storage.write_json(lake.uri("models", RUN, "connection_share", "conflict.json"), CONFLICT)
    return lake


def write_truth(lake: Lake) -> None:
    rows = [
        {
            "impression_id": row["impression_id"],
            "click_probability": 0.9 if row["clicked"] else 0.1,
            "expected_cvr": row["cvr"] or 0.5,
        }
        for row in rows_of_test_days()
    ]
    rows.append({"impression_id": "one that was set aside", "click_probability": 0.5, "expected_cvr": 0.5})
    for day in CONF.test_days:
        folder = Path(lake.uri("landing", "truth", f"day={day}"))
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "part.parquet")


def judged(planted: Mapping[str, tuple[float, float]], seeds: int = 3) -> list[Judged]:
    """Figures of models, CVR MSE and CTR AUC each, whose differences have a standard error of 5e-6 over rows alone."""
    tasks, count, rows = named_tasks(CONF), len(planted), 1000
    squares = np.eye(count) * 5e-6**2 * seeds * rows / 2
    found = []
    for n, name in enumerate(("cvr", "ctr")):
        by_seed = np.array([figures[n] for figures in planted.values()])[:, None] + np.linspace(-1e-6, 1e-6, seeds)
        figures = Figures(tuple(planted), by_seed, rows, squares, squares / 2 if seeds > 1 else 0 * squares)
        found.append(Judged(tasks[name], tasks[name].measure, figures))
    return found


class Page(HTMLParser):
    """Elements that would reach out, and whether every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [
            v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith(("#", "data:"))
        ]
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
