"""Algorithm 1 on workers that each take their part of the same global batches; run by test_cluster.

python tests/training/halves.py FOLDER [model=NAME] [KEY=VALUE ...]
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch

from ncs.config import Config
from ncs.data_loading import Batch, Features
from ncs.models import build, model_type
from ncs.training.cluster import Cluster, connect
from ncs.training.loop import Trainer
from ncs.training.store import Store
from tests.factories import TAGS, USERS, VIDEOS, rich_rows, toy_conf, toy_rows

MODEL = "model="


@dataclass
class HalvesFeed:
    """All rows in a seeded order, cut into global batches; a worker takes its part of each."""

    task: str
    features: Features
    labels: torch.Tensor
    shard: int
    shards: int
    batch_size: int = 64

    @property
    def steps(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        order = torch.from_numpy(np.random.default_rng(number).permutation(len(self.labels)))
        for whole in order.split(self.batch_size):
            part = whole.tensor_split(self.shards)[self.shard]
            yield Batch(self.features[part], {self.task: self.labels[part]}, len(whole))

    def resharded(self, shard: int, shards: int) -> "HalvesFeed":
        return replace(self, shard=shard, shards=shards)


def loaders(conf: Config, seed: int, rows: int, cluster: Cluster) -> dict[str, HalvesFeed]:
    """Of the plain toy, or of features of all kinds, if the configuration has them."""
    if "tag" in conf.fields:
        inputs, clicked, cvr = rich_rows(rows, seed)
        features = Features(torch.from_numpy(inputs.ids).long(), torch.from_numpy(inputs.numbers))
    else:
        ids, clicked, cvr = toy_rows(rows, seed)
        features = Features.of_ids(torch.from_numpy(ids))
    labelled = torch.from_numpy(~np.isnan(cvr))
    labels = {"ctr": torch.from_numpy(clicked), "cvr": torch.from_numpy(cvr).float()[labelled]}
    of_task = {"ctr": features, "cvr": features[labelled]}
    return {task: HalvesFeed(task, of_task[task], labels[task], cluster.rank, cluster.size) for task in labels}


def made(folder: str, cluster: Cluster, *settings: str) -> tuple[Any, Trainer, Config]:
    """The net of connection_share, or of the model that is named, its trainer and configuration."""
    torch.set_num_threads(1)
    named = [setting.removeprefix(MODEL) for setting in settings if setting.startswith(MODEL)]
    model, *_ = [*named, "connection_share"]
    conf = toy_conf(*(setting for setting in settings if not setting.startswith(MODEL))).for_model(model)
    net = build(conf, {"user_id": USERS + 1, "video_id": VIDEOS + 1, "tag": TAGS + 1}, 5, cluster)
    store = Store(folder, cluster)
    variance = dict.fromkeys(net.tasks, 0.1)
    training, validation = loaders(conf, 1, 2030, cluster), loaders(conf, 2, 600, cluster)
    return net, Trainer(conf.train, training, validation, cluster, store, variance), conf


def run(folder: str, cluster: Cluster, *settings: str) -> None:
    net, trainer, conf = made(f"{folder}/connection_share", cluster, *settings)
    model_type(conf).train(net, trainer, conf)
    chosen = {task: mask.alive for task, mask in net.task_masks.items()}
    workers = {"size": cluster.size, "local_size": cluster.local_size}
    Store(f"{folder}/result", cluster).save("result", {"net": net.state_dict(), "chosen": chosen, **workers})


if __name__ == "__main__":
    run(sys.argv[1], connect(subgroups=[2]), *sys.argv[2:])
