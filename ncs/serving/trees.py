"""LightGBM's trees as a program: a row decides all splits at once, then walks down all trees together."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ncs.errors import ExportError
from ncs.models.gbdt import Gbdt
from ncs.serving.layers import KnownIds

_Node = dict[str, Any]
"""A split or a leaf, as LightGBM dumps it."""


class ServingTrees(nn.Module):
    """The trees of a task of a trained `Gbdt`: ids and numbers in, its prediction out.

    Splits are compared in float64, as LightGBM compares them, so that no row takes another way.

    Raises ExportError for trees that hold zeros for missing values, which `Gbdt` never trains.
    """

    def __init__(self, model: Gbdt, task: str) -> None:
        super().__init__()
        inputs = model.spec.inputs
        self.layout, self.request = inputs.layout, list[int]()
        self.known, self.columns = KnownIds(inputs), model.columns
        dumped = model.booster(task).dump_model()
        self.is_logit = dumped["objective"].startswith("cross_entropy")
        roots = [tree["tree_structure"] for tree in dumped["tree_info"]]
        nodes = [node for root in roots for node in _below(root)]
        numeric = [node for node in nodes if node.get("decision_type") == "<="]
        by_id = [node for node in nodes if node.get("decision_type") == "=="]
        leaves = [node for node in nodes if "leaf_value" in node]
        # Numbered so that a split is where its decision stands; a leaf is followed by itself.
        place = {id(node): n for n, node in enumerate([*numeric, *by_id, *leaves])}
        self.splits, self.leaves = len(numeric) + len(by_id), len(leaves)
        self.depth = max(map(_depth, roots))
        following = [place[id(node.get(side, node))] for node in [*numeric, *by_id, *leaves] for side in _SIDES]
        left = [{int(number) for number in node["threshold"].split("||")} for node in by_id]
        self.ids = max((max(numbers) for numbers in left), default=-1) + 2  # the last: all that are in no split
        for name, values, dtype in (
            ("roots", [place[id(root)] for root in roots], torch.int64),
            ("following", following, torch.int64),
            ("values", [leaf["leaf_value"] for leaf in leaves], torch.float64),
            ("numeric", [node["split_feature"] for node in numeric], torch.int64),
            ("thresholds", [node["threshold"] for node in numeric], torch.float64),
            ("missing_goes_left", [_missing_goes_left(node) for node in numeric], torch.bool),
            ("by_id", [node["split_feature"] for node in by_id], torch.int64),
            ("first_id", [n * self.ids for n in range(len(by_id))], torch.int64),
            ("id_goes_left", [n in numbers for numbers in left for n in range(self.ids)], torch.bool),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=dtype))

    def forward(self, ids: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Ids int64 and numbers float32 [batch, columns] -> the task's prediction float32 [batch], within [0, 1]."""
        goes_left = self._decisions(self._matrix(self.known(ids), numbers))
        node = self.get_buffer("roots").expand(ids.shape[0], -1)
        for _ in range(self.depth):
            decided = goes_left.gather(1, node.clamp(max=self.splits - 1))
            node = self.get_buffer("following")[2 * node + decided.long()]
        raw = self.get_buffer("values")[node - self.splits].sum(1)
        return (torch.sigmoid(raw) if self.is_logit else raw.clamp(0, 1)).float()

    def _matrix(self, ids: Tensor, numbers: Tensor | None) -> Tensor:
        """The same as `ncs.models.gbdt.Columns.matrix`, float64 [batch, width]."""
        blocks = [ids[:, list(self.columns.single.values())]]
        for span, size in self.columns.lists:
            blocks.append((ids[:, span].unsqueeze(2) == torch.arange(size)).sum(1))
        numbers = ids[:, :0] if numbers is None else numbers
        return torch.cat([block.double() for block in (*blocks, numbers)], 1)

    def _decisions(self, matrix: Tensor) -> Tensor:
        """Whether each row would go left at each split, bool [batch, splits]."""
        number = matrix[:, self.get_buffer("numeric")]
        by_number = (number <= self.get_buffer("thresholds")) | (number.isnan() & self.get_buffer("missing_goes_left"))
        known = matrix[:, self.get_buffer("by_id")].long().clamp(max=self.ids - 1)
        by_id = self.get_buffer("id_goes_left")[self.get_buffer("first_id") + known]
        return torch.cat([by_number, by_id], 1)

    def sizes(self) -> dict[str, Any]:
        """For the card: leaves are the parameters, and nothing is multiplied."""
        parameters = {"before": self.leaves, "after": self.leaves, "embeddings": 0, "connections_kept": 0}
        none = {"before": 0, "after": 0}
        return {"layers": {"before": [], "after": []}, "parameters": parameters, "macs": none}

    def request_macs(self) -> None:
        """Rows of one request have no faster form."""
        return None

    def bytes(self) -> int:
        """The size of all buffers in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.buffers())


_SIDES = ("right_child", "left_child")


def _below(node: _Node) -> Iterator[_Node]:
    """A node and all below it."""
    yield node
    for side in _SIDES:
        if side in node:
            yield from _below(node[side])


def _depth(node: _Node) -> int:
    return 1 + max(_depth(node[side]) for side in _SIDES) if _SIDES[0] in node else 0


def _missing_goes_left(node: _Node) -> bool:
    """Where NaN goes: by default or, at a split that saw none in training, as 0 goes."""
    if node["missing_type"] == "Zero":
        raise ExportError("the trees hold zeros for missing values (zero_as_missing); train them without")
    return bool(node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0)
