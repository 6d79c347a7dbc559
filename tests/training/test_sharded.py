"""Embedding tables that are distributed over the workers end as those that each worker has whole."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ncs.errors import ConfigError, TrainingError
from ncs.models import build
from ncs.nets import embedding
from ncs.nets.embedding import FieldEmbedding, ShardedEmbedding
from ncs.training.artefact import as_whole, reshard
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import toy_conf
from tests.training.test_cluster import halved

SHARDED = "train.embeddings=sharded"


class _One(Cluster):
    """One of several workers, the others of which are not there."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def shards(table: Tensor, of: int) -> list[Tensor]:
    return [table[rank::of] for rank in range(of)]


@pytest.mark.parametrize("sizes", [(3,), (20, 13), (16, 48), (100, 37), (64, 64)])
def test_shards_are_drawn_as_the_whole_table_is(monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]) -> None:
    monkeypatch.setattr(embedding, "_DRAW_CHUNK", 32)
    torch.manual_seed(3)
    whole, after = FieldEmbedding(sizes, 5).table, torch.rand(1)
    for rank in range(3):
        torch.manual_seed(3)
        shard = ShardedEmbedding(sizes, 5, _One(rank, 3)).shard
        assert torch.equal(shard, whole[rank::3])
        assert torch.equal(torch.rand(1), after), "what is drawn later does not depend on it"


def test_what_is_unknown_begins_at_zero() -> None:
    """Id 0 of each field alone; all other rows are what they would be without that, and so is what is drawn later."""
    torch.manual_seed(3)
    drawn, after = torch.nn.init.normal_(torch.empty(33, 5), std=0.05), torch.rand(1)
    torch.manual_seed(3)
    table = FieldEmbedding((20, 13), 5).table
    assert torch.equal(torch.rand(1), after)
    assert table[[0, 20]].abs().sum() == 0
    others = [row for row in range(33) if row not in (0, 20)]
    assert torch.equal(table[others], drawn[others])


def test_a_worker_alone_looks_up_what_the_whole_table_gives() -> None:
    torch.manual_seed(3)
    whole = FieldEmbedding((20, 13), 4)
    torch.manual_seed(3)
    alone = ShardedEmbedding((20, 13), 4, Cluster())
    ids = torch.tensor([[3, 2], [19, 12], [3, 0], [0, 12]])
    assert torch.equal(alone(ids), whole(ids))
    assert alone(ids[:0]).shape == (0, 2, 4)


@pytest.mark.parametrize("of", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_another_number_of_workers_finds_its_rows(of: int, size: int) -> None:
    table, state, bias = torch.randn(11, 2), torch.arange(11), torch.randn(3)

    def kept(tables: list[Tensor], states: list[Tensor]) -> list[dict]:
        both = zip(tables, states, strict=True)
        return [{"net": {"a.shard": one, "bias": bias}, "optimizer": {"rows": {"a.shard": two}}} for one, two in both]

    expected = kept(shards(table, size), shards(state, size))
    for rank in range(size):
        found = reshard(kept(shards(table, of), shards(state, of)), of, rank, size)
        assert torch.equal(found["net"]["a.shard"], expected[rank]["net"]["a.shard"])
        assert torch.equal(found["optimizer"]["rows"]["a.shard"], expected[rank]["optimizer"]["rows"]["a.shard"])
        assert torch.equal(found["net"]["bias"], bias)


@pytest.mark.fault(ends="goes on")
def test_an_artefact_is_there_only_with_all_of_its_shards(tmp_path: Path) -> None:
    for rank in (1, 0):
        Store(str(tmp_path), _One(rank, 2)).save("theta", {"a.shard": torch.arange(6)[rank::2], "bias": torch.ones(2)})
    alone = Store(str(tmp_path), Cluster())
    assert torch.equal(alone.load("theta")["a.shard"], torch.arange(6))
    (tmp_path / "theta.1-of-2.pt").unlink()
    with pytest.raises(TrainingError, match=r"theta\.1-of-2\.pt cannot be read"):
        alone.load("theta")
    assert (
        alone.get_or_compute("theta", lambda: {"a.shard": torch.arange(6), "bias": torch.zeros(2)})["bias"].sum() == 0
    )


@pytest.mark.fault(ends="goes on")
def test_older_checkpoints_go_with_their_shards(tmp_path: Path) -> None:
    store = Store(str(tmp_path), Cluster())
    for number in (9, 10, 11):
        store.save_checkpoint("joint", number, {"a.shard": torch.tensor([number])})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"joint.checkpoint-00{number}.{ending}" for number in (10, 11) for ending in ("0-of-1.pt", "pt")
    ]
    assert store.newest_checkpoint("joint") == {"a.shard": torch.tensor([11])}
    (tmp_path / "joint.checkpoint-0011.0-of-1.pt").write_bytes(b"broken")
    assert store.newest_checkpoint("joint") == {"a.shard": torch.tensor([10])}
    store.clear_checkpoints()
    assert not list(tmp_path.iterdir())


def test_a_shared_out_net_counts_all_of_its_parameters() -> None:
    sizes = {"user_id": 5, "video_id": 7}
    conf = toy_conf(SHARDED).for_model("layer_share")
    assert build(conf, sizes, 1, _One(1, 3)).size() == build(conf, sizes, 1).size()


def test_searches_at_once_are_refused_with_shards() -> None:
    with pytest.raises(ConfigError, match=r"prune\.at_once: parts of the workers lack rows"):
        toy_conf(SHARDED, "prune.at_once=true")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "optimizer", "l2"), [("horovodrun", "adam", 0.0), ("torch", "adam", 0.01), ("torch", "adagrad", 0.01)]
)
def test_two_workers_end_with_the_bits_of_whole_tables(
    tmp_path: Path, launcher: str, optimizer: str, l2: float
) -> None:
    settings = (
        f"train.embedding_optimizer={optimizer}",
        f"train.embedding_l2={l2}",
        "prune.rounds=1",
        "train.epochs=2",
    )
    whole = halved(tmp_path / "whole", launcher, *settings)
    shared = halved(tmp_path / "shared", launcher, *settings, SHARDED)
    found = as_whole(shared["net"])
    assert found.keys() == whole["net"].keys()
    assert all(torch.equal(weight, found[name]) for name, weight in whole["net"].items())
    assert shared["chosen"] == whole["chosen"]
