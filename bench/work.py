"""The work that all are measured on: rows of eight fields with a click and a watched share, in a Delta table."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from ncs import config
from ncs.config import Config
from ncs.data_loading import Snapshot, TableLoader
from ncs.days import Days
from ncs.lake.layout import Lake
from ncs.tasks import named_tasks

ROOT = Path(__file__).parent.parent
RATES = (0.001, 0.004)
"""Learning rates of FC layers and of embeddings, by Adam as the peers train theirs."""
TABLE, DAY, FILE_ROWS = "gold/ctr_samples", date(2022, 4, 8), 65_536
SMALL = {"age_group": 8, "active_days": 17, "category": 60, "length_seconds": 17, "scene": 10}
"""Ids of the fields whose size is not that of the catalogue."""


@dataclass(frozen=True)
class Work:
    """Rows in a lake: every one with both labels, for the peers have no batches of one task."""

    lake: Lake
    sizes: dict[str, int]
    rows: int
    device: str = "cpu"
    """Where all train: cpu or cuda."""

    @classmethod
    def make(cls, folder: Path, ids: int, rows: int, test_rows: int, device: str = "cpu") -> "Work":
        """Draw rows over `ids` ids and write them."""
        work = cls(Lake.at(str(folder)), sizes_of(ids), rows, device)
        world = np.random.default_rng(0)
        tastes = {name: world.normal(size=(size, 3)) for name, size in work.sizes.items()}
        for seed, (split, count) in enumerate({"train": rows, "test": test_rows}.items()):
            for start in range(0, count, FILE_ROWS):
                random = np.random.default_rng([seed, start])
                work._write(split, _draw(random, tastes, min(FILE_ROWS, count - start)))
        return work

    def _write(self, split: str, columns: dict[str, np.ndarray]) -> None:
        count = len(columns["clicked"])
        keys = {"impression_id": [str(n) for n in range(count)], "day": [DAY] * count, "split": [split] * count}
        table = pa.table({**keys, **columns})
        write_deltalake(self.lake.uri(TABLE), table, partition_by=["day", "split"], mode="append")

    def conf(self, model: str, *overrides: str) -> Config:
        """The configuration of a model on this work: batches and losses as the peers have them."""
        same = ["train.batch_size=2048", "tasks.cvr.weight=1.0", "net.experts=4", f"train.device={self.device}"]
        return config.load(ROOT / "conf" / "demo.yaml", [*same, *overrides]).for_model(model)

    def loader(self, conf: Config, split: str = "train") -> TableLoader:
        """As a run's loader is made: decoded once, through Petastorm, kept in memory."""
        snapshot = Snapshot.of(self.lake, TABLE, self.lake.version(TABLE), Days(DAY, DAY), split)
        labels = {task.name: task.label for task in named_tasks(conf).values()}
        size, shuffle = conf.train.batch_size, split == "train"
        return TableLoader(snapshot, conf.layout, labels, batch_size=size, shuffle=shuffle, device=self.device)

    def arrays(self, split: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """All rows of a split as the peers want them: ids by field, both labels [rows, 2]."""
        files = self.lake.table(TABLE).file_uris([("split", "=", split)])
        table = pa.concat_tables(pq.ParquetFile(file).read() for file in files)
        ids = {name: table[name].to_numpy().astype(np.int64) for name in self.sizes}
        return ids, np.stack([table[name].to_numpy() for name in ("clicked", "cvr")], axis=1)


def sizes_of(ids: int) -> dict[str, int]:
    """Ids of each field, `ids` in all; most are users' and videos', as in a real catalogue."""
    rest = ids - sum(SMALL.values())
    large = {"user_id": rest * 7 // 10, "author_id": rest // 20}
    sizes = {**SMALL, **large, "video_id": rest - sum(large.values())}
    order = ("user_id", "age_group", "active_days", "video_id", "author_id", "category", "length_seconds", "scene")
    return {name: sizes[name] for name in order}


def _draw(random: np.random.Generator, tastes: dict[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Ids, the smaller the more frequent (but all of them seen); labels that follow from latent tastes and chance."""
    ids = {name: (len(taste) * random.random(rows) ** 2).astype(np.int32) for name, taste in tastes.items()}
    user, video = (tastes[name][ids[name]] for name in ("user_id", "video_id"))
    rest = sum(tastes[name][ids[name]] for name in ("author_id", "category", "scene"))
    liked = (user * video).sum(1) / 2 + rest[:, 0]
    clicked = random.random(rows) < 1 / (1 + np.exp(1 - liked))
    watched = 1 / (1 + np.exp(-(liked / 2 + rest[:, 1] + random.normal(size=rows))))
    return {**ids, "clicked": clicked.astype(np.float32), "cvr": watched.astype(np.float32)}
