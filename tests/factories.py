"""A small encoded lake without Spark: two tasks with a common and an opposed part, ready to train on."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from ncs import config
from ncs.config import Config
from ncs.kinds import IdSlot, Layout
from ncs.kinds.arrays import Arrays, stack
from ncs.kinds.layout import NO_ID
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record, user_metadata
from ncs.nets.model import NetSpec
from ncs.tasks import named_tasks

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "conf" / "demo.yaml"
USERS, VIDEOS, TAGS = 60, 40, 9
OVERRIDES = (
    "name=toy",
    "logs.days=2022-04-08..2022-04-10",
    "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}}",
    "split.validation=0.2",
    "net.embedding=4",
    "net.hidden=[16, 8]",
    "train.batch_size=64",
    "train.epochs=2",
    "train.refit=false",
    "train.average=0.0",
    "train.learning_rate=0.003",
    "train.embedding_learning_rate=0.01",
    "train.embedding_optimizer=adam",
    "train.embedding_l2=0.0",
    "train.threads=1",
    "prune.rounds=2",
    "net.gbdt.trees=60",
)


def toy_conf(*overrides: str) -> Config:
    return config.load(ROOT / "conf" / "demo.yaml", [*OVERRIDES, *overrides])


def id_layout(*names: str) -> Layout:
    """Single ids, each with rows of its own."""
    return Layout.of(IdSlot(name, name) for name in names)


def toy_spec(*overrides: str, model: str = "connection_share") -> NetSpec:
    """What a model of the catalogue is built from, on three small fields and two crosses."""
    sides = {"user_id": "user", "video_id": "video", "scene": "video"}
    fields = ", ".join(f"{name}: {{side: {side}, encode: vocabulary}}" for name, side in sides.items())
    conf = toy_conf(f"fields={{{fields}}}", "net.embedding=2", "net.hidden=[6, 4]", *overrides)
    return NetSpec.of(conf.for_model(model), {"user_id": 5, "video_id": 7, "scene": 3})


def run_description(run_id: str, tables: dict[str, int]) -> dict[str, Any]:
    """A `run.json` with nothing in it but the run's id and the versions that it is pinned to."""
    lineage = {"tables": tables, "ncs": "0", "git": None, "packages": {}, "seed": 7, "workers": 1}
    head = {"run_id": run_id, "name": "toy", "models": ["layer_share"], "conf": {}}
    return {**head, "sizes": {"user_id": 9}, "vocabulary": {}, "lineage": lineage}


def toy_rows(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids [rows, 2] from 1, clicked, cvr (NaN where not clicked)."""
    random = np.random.default_rng(seed)
    world = np.random.default_rng(0)
    users, videos, cover = (
        world.normal(size=(USERS, 3)),
        world.normal(size=(VIDEOS, 3)),
        world.normal(size=VIDEOS),
    )
    user, video = random.integers(USERS, size=rows), random.integers(VIDEOS, size=rows)
    taste = (users[user] * videos[video]).sum(1)
    clicked = random.random(rows) < 1 / (1 + np.exp(-(taste + cover[video])))
    watched = 1 / (1 + np.exp(-(taste - cover[video] + random.normal(size=rows))))
    return np.stack([user, video], 1) + 1, clicked.astype(np.float32), np.where(clicked, watched, np.nan)


def write_toy_lake(lake: Lake, conf: Config, rows: int = 1200, last_day_rows: int | None = None) -> Lake:
    """Encoded tables as `ncs encode` leaves them, `rows` a day; with the columns of `RICH`, if these are configured."""
    known = {"user_id": USERS, "video_id": VIDEOS, "tag": TAGS}
    vocabulary = [(name, n) for name, largest in known.items() if name in conf.fields for n in range(1, largest + 1)]
    names, ids = zip(*vocabulary, strict=True)
    columns = {
        "field": names,
        "value": [str(n) for n in ids],
        "id": pa.array(ids, pa.int32()),
        "count": [1] * len(ids),
    }
    _write(lake, layout.VOCABULARY, pa.table(columns), ALL, [])
    for number, day in enumerate(conf.logs.days):
        rows = last_day_rows or rows if day == conf.logs.days.last else rows
        ids_, clicked, cvr = toy_rows(rows, seed=number + 1)
        random = np.random.default_rng(number)
        split = (
            np.where(random.random(rows) < 0.2, "validation", "train")
            if day in conf.train_days
            else np.full(rows, "train")
        )
        more = rich_columns(ids_, number + 1) if "tag" in conf.fields else {}
        whole = pa.table(
            {
                "impression_id": [f"{day}-{n}" for n in range(rows)],
                "day": pa.array([day] * rows, pa.date32()),
                "split": split,
                "user_id": pa.array(ids_[:, 0], pa.int32()),
                "video_id": pa.array(ids_[:, 1], pa.int32()),
                **{name: _column(values) for name, values in more.items()},
                "clicked": pa.array(clicked, pa.float32()),
                "cvr": pa.array(cvr, pa.float32()),
            }
        )
        tasks = named_tasks(conf)
        _write(lake, tasks["ctr"].table, whole, str(day), ["day", "split"])
        _write(lake, tasks["cvr"].table, whole.filter(pa.array(~np.isnan(cvr))), str(day), ["day", "split"])
    return lake


def _column(values: np.ndarray) -> pa.Array:
    return pa.array(values) if values.ndim == 1 else pa.array(list(values), pa.list_(pa.from_numpy_dtype(values.dtype)))


def write_day(lake: Lake, table: str, rows: pa.Table, day: date) -> None:
    """Append a day to a table that is partitioned by day."""
    days = pa.array([day] * rows.num_rows, pa.date32())
    _write(lake, table, rows.append_column("day", days), str(day), ["day"])


def _write(lake: Lake, table: str, rows: pa.Table, key: str, partition: list[str]) -> None:
    record = Record("encode", key, {}, {"rows": rows.num_rows})
    write_deltalake(
        lake.uri(table),
        rows,
        partition_by=partition,
        mode="append",
        target_file_size=4096,
        commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata([record])}),
    )


RICH = (
    "fields={user_id: {side: user, encode: vocabulary}, age: {side: user, encode: number},"
    " video_id: {side: video, encode: vocabulary}, tag: {side: video, encode: list, length: 3, pooling: max},"
    " cover: {side: video, encode: vector, length: 2}}",
    "statistics=[{by: [user_id], of: [clicked]}]",
    "history={clicked: {of: [video_id], last: 4, pooling: attention}}",
)
"""Overrides of `toy_conf` for features of all kinds."""


def rich_columns(ids: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The columns of `RICH` beside user_id and video_id [rows]: lists of all lengths, missing numbers."""
    random = np.random.default_rng(seed)
    rows = len(ids)

    def lists(length: int, most: int) -> np.ndarray:
        drawn = random.integers(0, most + 1, size=(rows, length))
        return np.where(np.arange(length) < random.integers(0, length + 1, size=(rows, 1)), drawn, NO_ID)

    age = random.normal(size=rows)
    return {
        "age": np.where(random.random(rows) < 0.2, np.nan, age).astype(np.float32),
        "tag": lists(3, TAGS).astype(np.int32),
        "cover": random.normal(size=(rows, 2)).astype(np.float32),
        "user_id_clicked_7d": (np.sin(ids[:, 0]) + 0.3 * random.normal(size=rows)).astype(np.float32),
        "clicked_video_id": lists(4, VIDEOS).astype(np.int32),
    }


def rich_rows(rows: int, seed: int) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Inputs in the layout of `RICH`, clicked, cvr (NaN where not clicked)."""
    ids, clicked, cvr = toy_rows(rows, seed)
    columns = {"user_id": ids[:, 0], "video_id": ids[:, 1], **rich_columns(ids, seed)}
    return stack(toy_conf(*RICH).layout, columns, rows), clicked, cvr
