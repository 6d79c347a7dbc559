"""Algorithm 1 on workers that each take their part of the same global batches; run by test_cluster.

python tests/training/halves.py FOLDER
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch

from ncs.feed import Batch
from ncs.nets.masked import MaskedNet
from ncs.nets.system import build
from ncs.systems import connection_share
from ncs.training.cluster import Cluster, connect
from ncs.training.loop import Trainer
from ncs.training.store import Store
from tests.toy import USERS, VIDEOS, toy_conf, toy_rows


@dataclass
class HalvesFeed:
    """All rows in a seeded order, cut into global batches; a worker takes its part of each."""

    task: str
    ids: torch.Tensor
    labels: torch.Tensor
    cluster: Cluster
    batch_size: int = 64

    @property
    def steps(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        order = torch.from_numpy(np.random.default_rng(number).permutation(len(self.labels)))
        for whole in order.split(self.batch_size):
            part = whole.tensor_split(self.cluster.size)[self.cluster.rank]
            yield Batch(self.ids[part], {self.task: self.labels[part]}, len(whole))


def feeds(seed: int, rows: int, cluster: Cluster) -> dict[str, HalvesFeed]:
    ids, clicked, cvr = toy_rows(rows, seed)
    labelled = ~np.isnan(cvr)
    return {
        "ctr": HalvesFeed("ctr", torch.from_numpy(ids), torch.from_numpy(clicked), cluster),
        "cvr": HalvesFeed(
            "cvr", torch.from_numpy(ids[labelled]), torch.from_numpy(cvr[labelled].astype(np.float32)), cluster
        ),
    }


def run(folder: str, cluster: Cluster) -> None:
    torch.set_num_threads(1)
    conf = toy_conf().of_system("connection_share")
    net = build(conf, {"user_id": USERS + 1, "video_id": VIDEOS + 1}, seed=5)
    assert isinstance(net, MaskedNet)
    store = Store(f"{folder}/connection_share", cluster)
    variance = dict.fromkeys(net.tasks, 0.1)
    trainer = Trainer(conf.train, feeds(1, 2030, cluster), feeds(2, 600, cluster), cluster, store, variance)
    connection_share.train(net, trainer, conf)
    chosen = {task: mask.alive for task, mask in net.task_masks.items()}
    workers = {"size": cluster.size, "local_size": cluster.local_size}
    Store(f"{folder}/result", cluster).save("result", {"net": net.state_dict(), "chosen": chosen, **workers})


if __name__ == "__main__":
    run(sys.argv[1], connect())
