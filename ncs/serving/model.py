"""The net that is served: ids and numbers in, one task's prediction out, with only the weights that the task uses."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.nets.crosses import KroneckerProducts
from ncs.nets.inputs import InputSpec, with_vectors
from ncs.nets.layers import Subnetwork
from ncs.nets.model import NetSpec
from ncs.serving.compact import compact
from ncs.serving.layers import AnyRows, Columns, KnownIds, Linear, OneRequest, request_vectors, vector_columns


class MemberLayers(nn.Module):
    """The FC layers of a member: vectors and numbers in, its logit out."""

    def __init__(self, spec: InputSpec, subnetwork: Subnetwork) -> None:
        super().__init__()
        first, *rest = compact(subnetwork.layers, subnetwork.norm)
        cross, factors = subnetwork.inputs.cross, subnetwork.factors
        self.register_buffer("factors", None if factors is None else factors.detach().clone())
        self.any_rows = AnyRows(first, cross, spec)
        self.request = request_vectors(cross) if len(self.any_rows.terms) else []
        if self.request:
            assert isinstance(cross, KroneckerProducts)
            self.one_request = OneRequest(first, cross, spec)
        self.layers = nn.ModuleList([Linear(layer) for layer in rest])
        self.norm = subnetwork.norm
        self.factors: Tensor | None

    def forward(self, base: Tensor, one_request: Tensor | None) -> Tensor:
        """Vectors and numbers [batch, base width], whether all rows are of one request, bool [] -> logits [batch]."""
        base = base if self.factors is None else base * self.factors
        if self.request:
            assert one_request is not None
            output = torch.cond(one_request, self.one_request, self.any_rows, (base,))
        else:
            output = self.any_rows(base)
        for layer in self.layers:
            output = layer(F.relu(F.layer_norm(output, output.shape[-1:]) if self.norm else output))
        return output.squeeze(1)

    def widths(self) -> list[int]:
        """The widths of the first layer's computed input for any rows, of the hidden layers, and of the output."""
        return [*self.any_rows.shape(), *(len(layer.bias) for layer in cast(Sequence[Linear], self.layers))]


class ServingNet(nn.Module):
    """One task of a trained model, for ids and numbers in the columns of the run's layout.

    Rows of one request take the faster form of the first layer. Of several members the predictions are averaged.
    """

    def __init__(self, spec: NetSpec, *members: Subnetwork) -> None:
        super().__init__()
        inputs, of_inputs = members[0].inputs, spec.inputs
        self.layout, self.known = of_inputs.layout, KnownIds(of_inputs)
        self.subnetworks = members
        self.register_buffer("offsets", inputs.embedding.offsets.clone())
        self.register_buffer("table", inputs.embedding.table.detach().clone())
        self.pooling, self.numbers = (
            deepcopy(module).requires_grad_(False) for module in (inputs.pooling, inputs.numbers)
        )
        self.members = nn.ModuleList([MemberLayers(of_inputs, member) for member in members])
        requests = [request for member in self._each() if (request := member.request)]
        self.request: list[int] = requests[0] if requests else []
        if self.request:
            self.request_columns = Columns(vector_columns(self.request, of_inputs.embedding))
        self.offsets: Tensor
        self.table: Tensor

    def forward(self, ids: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Ids int64 and numbers float32 [batch, columns] -> the task's prediction float32 [batch], within [0, 1].

        A layout without numbers needs none.
        """
        base = self._base(ids, numbers)
        one_request = None
        if self.request:
            request = self.request_columns(base)
            one_request = (request == request[:1]).all()
        predictions = [torch.sigmoid(member(base, one_request)) for member in self._each()]
        return predictions[0] if len(predictions) == 1 else torch.stack(predictions).mean(0)

    def _each(self) -> Sequence[MemberLayers]:
        return cast(Sequence[MemberLayers], self.members)

    def _base(self, ids: Tensor, numbers: Tensor | None) -> Tensor:
        """Vectors and numbers [batch, base width], as `ncs.nets.inputs` has them."""
        known = self.known(ids)
        embedded = F.embedding(known.clamp(min=0) + self.offsets, self.table)
        if self.pooling.is_needed:
            embedded = embedded * (known >= 0).unsqueeze(2)
        vectors = self.pooling(embedded, known)
        if numbers is None:
            return vectors.flatten(1)
        plain, projected = self.numbers(numbers)
        return torch.cat([with_vectors(vectors, projected).flatten(1), plain], 1)

    def widths(self) -> list[int]:
        """`MemberLayers.widths`, summed over members."""
        return [sum(widths) for widths in zip(*(member.widths() for member in self._each()), strict=True)]

    def macs(self) -> int:
        """Multiplications of FC layers for any row."""
        return sum(macs(member.widths()) for member in self._each())

    def request_macs(self) -> dict[str, int] | None:
        """Multiplications for rows of one request, once and for each row; None if the net has no such form."""
        with_form = [member for member in self._each() if member.request]
        if not with_form:
            return None
        rows = (macs([member.one_request.inputs, *member.widths()[1:]]) for member in with_form)
        rest = (macs(member.widths()) for member in self._each() if not member.request)
        return {"once": sum(member.one_request.crossed.numel() for member in with_form), "row": sum(rows) + sum(rest)}

    def sizes(self) -> dict[str, Any]:
        """For the card: widths, parameters and multiplications a row before (with all connections) and after."""
        members = self.subnetworks
        widths = [layer.weight.shape[1] for layer in members[0].layers] + [1]
        kept = sum(int((layer.weight != 0).sum()) for member in members for layer in member.layers)
        factors = sum(member.factors.numel() for member in members if member.factors is not None)
        whole = self.input_size() + factors + len(members) * (macs(widths) + sum(widths[1:]))
        embeddings = self.table.numel()
        return {
            "layers": {"before": [len(members) * width for width in widths], "after": self.widths()},
            "parameters": {"before": whole, "after": self.size(), "embeddings": embeddings, "connections_kept": kept},
            "macs": {"before": len(members) * macs(widths), "after": self.macs()},
        }

    def size(self) -> int:
        """Embeddings, weights, biases and members' factors of the inputs.

        Each is counted once, though those for rows of one request are stored again.
        """
        factors = sum(member.factors.numel() for member in self._each() if member.factors is not None)
        return self.input_size() + factors + self.macs() + sum(sum(member.widths()[1:]) for member in self._each())

    def input_size(self) -> int:
        """Embeddings, and the weights of pooling and projections."""
        return self.table.numel() + sum(weight.numel() for weight in self.parameters())

    def bytes(self) -> int:
        """The size of all buffers and parameters in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.buffers(), *self.parameters()))


def macs(widths: list[int]) -> int:
    """Multiplications of FC layers for a row."""
    return sum(before * after for before, after in pairwise(widths))
