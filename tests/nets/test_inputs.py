"""Lists, numbers and vectors as inputs: pooling and attention counted by hand, padding that moves nothing."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ncs.data_loading import Features
from ncs.kinds import IdSlot, Layout, NumberSlot
from ncs.nets.embedding import FieldEmbedding, ShardedEmbedding
from ncs.nets.inputs import Inputs, InputSpec
from ncs.nets.pooling import Attention, Pooling
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam

WIDTH = 3
LAYOUT = Layout.of(
    [
        IdSlot("user", "user"),
        NumberSlot("age", nullable=True),
        IdSlot("video", "video"),
        IdSlot("tags", "tags", 4, "mean"),
        NumberSlot("cover", 2, projected=True),
        IdSlot("more", "tags", 4, "max"),
        IdSlot("all", "tags", 4, "sum"),
        NumberSlot("rate"),
        IdSlot("seen", "video", 3, "attention"),
    ]
)
SIZES = {"user": 5, "video": 7, "tags": 6}
CROSSES = (("user", "video"), ("user", "tags"), ("cover", "seen"))


def rows(count: int = 40, seed: int = 0) -> Features:
    """Lists of all lengths, the empty one among them, and missing numbers."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, [5, 7, *[6] * 12, *[7] * 3], size=(count, LAYOUT.id_width))
    for slot in LAYOUT.ids:
        if slot.is_list:
            ids[:, LAYOUT.id_spans[slot.name]][np.arange(slot.length) >= random.integers(0, 5, size=(count, 1))] = -1
    numbers = random.normal(size=(count, LAYOUT.number_width)).astype(np.float32)
    numbers[::3, 0] = np.nan
    return Features(torch.from_numpy(ids), torch.from_numpy(numbers))


def made(**settings: Any) -> tuple[Inputs, InputSpec]:
    spec = InputSpec(LAYOUT, SIZES, WIDTH, CROSSES, **settings)
    torch.manual_seed(1)
    inputs = Inputs(spec)
    torch.nn.init.normal_(inputs.embedding.local_rows)
    return inputs, spec


def by_hand(inputs: Inputs, ids: list[int], numbers: list[float]) -> list[np.ndarray]:
    """The vectors of a row, in the layout's order of vectors."""
    table = inputs.embedding.table.detach().double().numpy()
    user, video, tags = table[:5], table[5:12], table[12:]
    found = {"user": user[ids[0]], "video": video[ids[1]]}
    for name, pool in (("tags", np.mean), ("more", np.max), ("all", np.sum)):
        elements = [tags[n] for n in ids[LAYOUT.id_spans[name]] if n >= 0]
        found[name] = pool(np.stack(elements), axis=0) if elements else np.zeros(WIDTH)
    found["seen"] = np.zeros(WIDTH)
    (attention,) = inputs.pooling.attentions
    for n in ids[LAYOUT.id_spans["seen"]]:
        if n >= 0:
            found["seen"] = found["seen"] + weight(attention, video[n], found["video"]) * video[n]
    found["cover"] = inputs.numbers.projections[0].weight.detach().double().numpy() @ np.array(numbers[1:3])
    return [found[name] for name in LAYOUT.vectors]


def weight(attention: Attention, element: np.ndarray, candidate: np.ndarray) -> float:
    pair = torch.from_numpy(np.concatenate([element, candidate, element - candidate, element * candidate]))
    hidden = torch.relu(attention.hidden.weight.double() @ pair + attention.hidden.bias.double())
    return (attention.output.weight[0].double() @ hidden + attention.output.bias.double()).item()


def test_every_row_is_what_it_is_by_hand() -> None:
    inputs, spec = made()
    features = rows()
    found = inputs(features)
    assert found.shape == (40, spec.width)
    at = {name: n for n, name in enumerate(LAYOUT.vectors)}
    assert list(at) == ["user", "video", "tags", "more", "all", "seen", "cover"]
    for n in range(features.rows):
        ids, numbers = features.ids[n].tolist(), features.numbers[n].tolist()
        vectors = by_hand(inputs, ids, numbers)
        missing = math.isnan(numbers[0])
        plain = [0.0 if missing else numbers[0], numbers[3], float(missing)]
        # user x video and user x tags are one grid, cover x seen another
        grids = [np.kron(vectors[0], np.concatenate([vectors[1], vectors[2]])), np.kron(vectors[6], vectors[5])]
        expected = np.concatenate([*vectors, plain, *grids])
        np.testing.assert_allclose(found[n].detach().numpy(), expected, atol=1e-5)


def test_an_empty_list_is_a_vector_of_zeros_whatever_the_pooling() -> None:
    inputs, _ = made()
    features = rows()
    features.ids[:, 2:] = -1
    pooled = inputs.pooling(inputs.embedding(features.ids), features.ids)
    assert pooled[:, 2:].abs().sum() == 0
    assert inputs(features).isfinite().all()


def test_no_row_of_a_list_hangs_on_the_columns_behind_its_elements() -> None:
    """The same elements in a longer list of columns."""
    longer = Layout.of([IdSlot("tags", "tags", 9, "mean")])
    shorter = Layout.of([IdSlot("tags", "tags", 2, "mean")])
    embedded = torch.randn(4, 2, WIDTH)
    ids = torch.tensor([[1, 2], [3, -1], [-1, -1], [0, 0]])
    embedded[ids < 0] = 0
    more = torch.cat([ids, torch.full((4, 7), -1)], 1)
    behind = torch.cat([embedded, torch.zeros(4, 7, WIDTH)], 1)
    torch.testing.assert_close(Pooling(longer, WIDTH)(behind, more), Pooling(shorter, WIDTH)(embedded, ids))


@pytest.mark.parametrize("interaction", ["kronecker", "dot"])
def test_lazy_inputs_and_their_gradients_are_the_joined_ones(interaction: Any) -> None:
    inputs, spec = made(interaction=interaction)
    features, found = rows(), []
    layer, factor = torch.randn(6, spec.width), torch.randn(40, 6)
    for whole in (inputs, inputs.lazy):
        made_of = whole(features)
        output = made_of.linear(layer, torch.zeros(6)) if hasattr(made_of, "linear") else made_of @ layer.T
        inputs.zero_grad()
        (output * factor).sum().backward()
        assert inputs.embedding.last_lookup is not None
        dense = [weight.grad.clone() for weight in inputs.parameters() if weight.grad is not None]
        found.append((output.detach(), inputs.embedding.last_lookup[1].grad, *dense))
    assert len(found[0]) == 2 + 4 + 1, "attention and projection have gradients"
    for joined, tiled in zip(*found, strict=True):
        torch.testing.assert_close(tiled, joined, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("interaction", ["kronecker", "dot"])
def test_columns_are_where_a_feature_comes_out(interaction: Any) -> None:
    """Each feature is changed alone: what changes are its own columns, its crosses', and what attends to it."""
    inputs, spec = made(interaction=interaction)
    columns = spec.columns()
    assert sorted(sum(columns.values(), [])) == list(range(spec.width))
    features = Features(torch.ones(1, LAYOUT.id_width, dtype=torch.long), torch.full((1, 4), 0.5))
    before = inputs(features)
    for slot in LAYOUT.slots:
        changed = Features(features.ids.clone(), features.numbers.clone())
        if isinstance(slot, IdSlot):
            changed.ids[:, LAYOUT.id_spans[slot.name]] = 2
        else:
            changed.numbers[:, LAYOUT.number_spans[slot.name]] = math.nan if slot.nullable else 7.0
        differs = (inputs(changed) != before)[0]
        changing = {slot.name, "seen"} if slot.name == "video" else {slot.name}
        expected = torch.zeros(spec.width, dtype=torch.bool)
        for name, part in columns.items():
            expected[part] = bool(changing & set(name.split(" x ")))
        assert torch.equal(differs, expected), slot.name


def stepped(optimizer: str, **settings: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The table before and after some steps, the state of its rows, and the rows that were looked up."""
    inputs, _ = made(**settings)
    before = inputs.embedding.local_rows.detach().clone()
    steps = MaskedAdam(inputs, Cluster(), 0.01, 0.1, weight_decay=0.1, embedding_optimizer=optimizer)
    features = rows(6, seed=3)
    features.ids[:, 2:] = -1
    features.ids[:3, 2] = 4  # a tag of table `tags`, row 5 + 7 + 4
    for _ in range(3):
        inputs(features).square().sum().backward()
        steps.step({})
    (state,) = steps.state_dict()["rows"].values()
    used = torch.unique(torch.cat([features.ids[:, 0], 5 + features.ids[:, 1], torch.tensor([16])]))
    return before, inputs.embedding.local_rows.detach(), state.view(len(before), -1), used


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
@pytest.mark.parametrize("workers", [None, Cluster()], ids=["whole", "sharded"])
def test_padding_moves_no_row_and_no_state(optimizer: str, workers: Cluster | None) -> None:
    before, after, state, used = stepped(optimizer, workers=workers)
    moved, with_state = (after != before).any(1).nonzero().squeeze(1), (state != 0).any(1).nonzero().squeeze(1)
    assert set(moved.tolist()) <= set(used.tolist())
    assert torch.equal(with_state, used)
    assert 16 in moved, "the list's only element is learnt"


def test_a_sharded_table_gives_what_the_whole_one_does() -> None:
    columns, ids = [0, 1, 1, 1], torch.tensor([[3, 2, -1, -1], [19, 12, 0, -1], [3, -1, -1, -1]])
    torch.manual_seed(3)
    whole = FieldEmbedding((20, 13), 4, columns, padded=True)
    torch.manual_seed(3)
    alone = ShardedEmbedding((20, 13), 4, Cluster(), columns, padded=True)
    assert torch.equal(alone(ids), whole(ids))
    assert alone(ids)[ids < 0].abs().sum() == 0
    assert alone(torch.full((2, 4), -1)).abs().sum() == 0, "nothing is looked up"
    assert alone(ids[:0]).shape == (0, 4, 4)


def test_a_layout_of_numbers_alone() -> None:
    layout = Layout.of([NumberSlot("a"), NumberSlot("b", nullable=True)])
    inputs = Inputs(InputSpec(layout, {}, 4, ()))
    features = Features(torch.zeros(2, 0, dtype=torch.long), torch.tensor([[1.5, math.nan], [2.5, -1.0]]))
    assert inputs(features).tolist() == [[1.5, 0.0, 1.0], [2.5, -1.0, 0.0]]
