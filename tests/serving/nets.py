"""Small models whose every weight matters, and masks."""

import torch

from ncs.data_loading import Features
from ncs.models import model_type
from ncs.nets.masked import MaskedNet
from ncs.nets.model import Model
from ncs.pruning.mask import Mask
from tests.factories import toy_conf, toy_spec

IDS = Features.of_ids(torch.cartesian_prod(*map(torch.arange, (5, 7, 3))))
"""Every row that there is: user_id, video_id, scene."""


def of_catalogue(name: str, *overrides: str) -> Model:
    torch.manual_seed(1)
    net = model_type(toy_conf().for_model(name)).build(toy_spec(*overrides, model=name)).eval()
    for name_, weight in net.named_parameters():
        if "bias" in name_:
            torch.nn.init.normal_(weight)  # zero biases would hide a constant that is folded wrongly
        if name_.endswith("table"):
            torch.nn.init.normal_(weight)
    return net


def masked(net: MaskedNet, density: float, whole_inputs: bool = False) -> MaskedNet:
    torch.manual_seed(2)
    for task in net.tasks:
        layers = {name: (torch.rand_like(weight) < density).float() for name, weight in net.maskable(task).items()}
        if whole_inputs:
            layers["hidden.0"] = layers["hidden.0"][:1].expand_as(layers["hidden.0"]).clone()
        net.task_masks[task] = Mask(layers)
    return net
