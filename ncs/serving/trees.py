"""LightGBM's trees as a program of matrix products: a row decides all splits at once, and so is in one leaf a tree.

It is the leaf whose path has the row's turns: the sum of the row's decisions, +1 for a split that the path leaves to
the left and -1 to the right, is then the number of the path's left turns (the GEMM form of Hummingbird, Nakandala et
al., OSDI 2020).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ncs.errors import ExportError
from ncs.models.gbdt import Gbdt
from ncs.serving.layers import KnownIds

MOST_LEAVES = 256
"""Of a tree: its products grow with their square."""
_Split = dict[str, Any]
"""As LightGBM dumps it."""


class _Leaf(NamedTuple):
    turns: tuple[tuple[_Split, bool], ...]
    """The splits of its path, and whether it goes left there."""
    value: float


class ServingTrees(nn.Module):
    """The trees of a task of a trained `Gbdt`: ids and numbers in, its prediction out.

    Rows decide as LightGBM does, to the last bit of a number; leaves are summed in float32.

    Raises ExportError for trees of more than `MOST_LEAVES`, and for those that hold zeros for missing values, which
    `Gbdt` never trains.
    """

    def __init__(self, model: Gbdt, task: str) -> None:
        super().__init__()
        inputs = model.spec.inputs
        self.layout, self.request = inputs.layout, list[int]()
        self.known, self.columns = KnownIds(inputs), model.columns
        dumped = model.booster(task).dump_model()
        self.is_logit = dumped["objective"].startswith("cross_entropy")
        trees = [list(_leaves(tree["tree_structure"])) for tree in dumped["tree_info"]]
        self.leaves = sum(map(len, trees))
        if (most := max(map(len, trees))) > MOST_LEAVES:
            raise ExportError(
                f"{task}: trees have up to {most} leaves, at most {MOST_LEAVES} are exported; lower net.gbdt.leaves"
            )
        splits = [list({id(split): split for leaf in tree for split, _ in leaf.turns}.values()) for tree in trees]
        numeric = [split for of_tree in splits for split in of_tree if split["decision_type"] == "<="]
        by_id = [split for of_tree in splits for split in of_tree if split["decision_type"] == "=="]
        place = {id(split): n for n, split in enumerate([*numeric, *by_id])}
        left = [{int(number) for number in split["threshold"].split("||")} for split in by_id]
        self.ids = max((max(numbers) for numbers in left), default=-1) + 2  # the last: all that are in no split
        for name, array in {
            **_paths(trees, splits, place),
            "numeric": np.array([split["split_feature"] for split in numeric], np.int64),
            "thresholds": np.array([_at_most(split["threshold"]) for split in numeric], np.float32)[:, None],
            "missing_goes_left": np.array([_missing_goes_left(split) for split in numeric], bool)[:, None],
            "by_id": np.array([split["split_feature"] for split in by_id], np.int64),
            "first_id": self.ids * np.arange(len(by_id))[:, None],
            "id_goes_left": np.array([n in numbers for numbers in left for n in range(self.ids)], bool),
        }.items():
            self.register_buffer(name, torch.from_numpy(array))

    def forward(self, ids: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Ids int64 and numbers float32 [batch, columns] -> the task's prediction float32 [batch], within [0, 1]."""
        turns = self.get_buffer("turns")
        goes_left = self._decisions(self._matrix(self.known(ids), numbers))[self.get_buffer("order")]
        trees, _, splits = turns.shape
        reached = torch.bmm(turns, goes_left.float().view(trees, splits, ids.shape[0])) == self.get_buffer("lefts")
        raw = (self.get_buffer("values") @ reached.float().flatten(0, 1)).squeeze(0)
        return torch.sigmoid(raw) if self.is_logit else raw.clamp(0, 1)

    def _matrix(self, ids: Tensor, numbers: Tensor | None) -> Tensor:
        """What `ncs.models.gbdt.Columns.matrix` gives, float32 [width, batch]: onnxruntime picks columns slowly."""
        blocks = [ids[:, list(self.columns.single.values())]]
        for span, size in self.columns.lists:
            blocks.append((ids[:, span].unsqueeze(2) == torch.arange(size)).sum(1))
        numbers = ids[:, :0] if numbers is None else numbers
        return torch.cat([block.float() for block in (*blocks, numbers)], 1).transpose(0, 1).contiguous()

    def _decisions(self, matrix: Tensor) -> Tensor:
        """Whether each row would go left at each split, bool [splits, batch]."""
        number, missing_goes_left = matrix[self.get_buffer("numeric")], self.get_buffer("missing_goes_left")
        by_number = (number <= self.get_buffer("thresholds")) | (number.isnan() & missing_goes_left)
        known = matrix[self.get_buffer("by_id")].long().clamp(max=self.ids - 1)
        by_id = self.get_buffer("id_goes_left")[self.get_buffer("first_id") + known]
        return torch.cat([by_number, by_id])

    def sizes(self) -> dict[str, Any]:
        """For the card: leaves are the parameters; there are no FC layers."""
        parameters = {"before": self.leaves, "after": self.leaves, "embeddings": 0, "connections_kept": 0}
        none = {"before": 0, "after": 0}
        return {"layers": {"before": [], "after": []}, "parameters": parameters, "macs": none}

    def request_macs(self) -> None:
        """Rows of one request have no faster form."""
        return None

    def bytes(self) -> int:
        """The size of all buffers in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.buffers())


def _leaves(node: dict[str, Any], turns: tuple[tuple[_Split, bool], ...] = ()) -> Iterator[_Leaf]:
    """The leaves below a node that is reached by these turns."""
    if "leaf_value" in node:
        yield _Leaf(turns, node["leaf_value"])
        return
    yield from _leaves(node["left_child"], (*turns, (node, True)))
    yield from _leaves(node["right_child"], (*turns, (node, False)))


def _paths(
    trees: Sequence[Sequence[_Leaf]], splits: Sequence[Sequence[_Split]], place: dict[int, int]
) -> dict[str, np.ndarray]:
    """Of each leaf of each tree the turns, how many go left, and the value; of each tree the places of its splits.

    Trees with fewer leaves than others are filled up with leaves that no row is in.
    """
    width = max(map(len, trees))
    turns = np.zeros((len(trees), width, width - 1), np.float32)
    lefts, values = np.full((len(trees), width, 1), width, np.float32), np.zeros((len(trees), width), np.float32)
    order = np.zeros((len(trees), width - 1), np.int64)
    for t, (tree, own) in enumerate(zip(trees, splits, strict=True)):
        at = {id(split): s for s, split in enumerate(own)}
        order[t, : len(own)] = [place[id(split)] for split in own]
        for n, leaf in enumerate(tree):
            for split, goes_left in leaf.turns:
                turns[t, n, at[id(split)]] = 1 if goes_left else -1
            lefts[t, n], values[t, n] = sum(goes_left for _, goes_left in leaf.turns), leaf.value
    return {"turns": turns, "lefts": lefts, "values": values.reshape(1, -1), "order": order.ravel()}


def _at_most(threshold: float) -> float:
    """The largest float32 up to a threshold: float32 values are compared with it instead of with the float64."""
    nearest = np.float32(threshold)
    return float(nearest if nearest <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


def _missing_goes_left(split: _Split) -> bool:
    """Where NaN goes: by default or, at a split that saw none in training, as 0 goes."""
    if split["missing_type"] == "Zero":
        raise ExportError("the trees hold zeros for missing values (zero_as_missing); train them without")
    return bool(split["default_left"] if split["missing_type"] == "NaN" else split["threshold"] >= 0)
