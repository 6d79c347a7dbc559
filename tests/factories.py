"""A small encoded lake without Spark: two tasks with a common and an opposed part, ready to train on."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from ncs import config
from ncs.config import Config
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record, user_metadata
from ncs.nets.model import NetSpec
from ncs.tasks import tasks_of

ROOT = Path(__file__).parent.parent
USERS, VIDEOS = 60, 40
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
    "train.learning_rate=0.003",
    "train.embedding_learning_rate=0.01",
    "train.threads=1",
    "prune.rounds=2",
)


def toy_conf(*overrides: str) -> Config:
    return config.load(ROOT / "conf" / "demo.yaml", [*OVERRIDES, *overrides])


def toy_spec(*overrides: str, model: str = "connection_share") -> NetSpec:
    """What a model of the catalogue is built from, on three small fields and two crosses."""
    sides = {"user_id": "user", "video_id": "video", "scene": "video"}
    fields = ", ".join(f"{name}: {{side: {side}, encode: vocabulary}}" for name, side in sides.items())
    conf = toy_conf(f"fields={{{fields}}}", "net.embedding=2", "net.hidden=[6, 4]", *overrides)
    return NetSpec.of(conf.of_model(model), {"user_id": 5, "video_id": 7, "scene": 3})


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
    """Encoded tables as `ncs encode` leaves them, `rows` a day."""
    vocabulary = [("user_id", n) for n in range(1, USERS + 1)] + [("video_id", n) for n in range(1, VIDEOS + 1)]
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
        whole = pa.table(
            {
                "impression_id": [f"{day}-{n}" for n in range(rows)],
                "day": pa.array([day] * rows, pa.date32()),
                "split": split,
                "user_id": pa.array(ids_[:, 0], pa.int32()),
                "video_id": pa.array(ids_[:, 1], pa.int32()),
                "clicked": pa.array(clicked, pa.float32()),
                "cvr": pa.array(cvr, pa.float32()),
            }
        )
        tasks = tasks_of(conf)
        _write(lake, tasks["ctr"].table, whole, str(day), ["day", "split"])
        _write(lake, tasks["cvr"].table, whole.filter(pa.array(~np.isnan(cvr))), str(day), ["day", "split"])
    return lake


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
