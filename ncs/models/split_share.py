"""SplitShare: of every embedding some dimensions are all tasks', some one task's alone, by construction.

A masked net whose masks are not searched: a task keeps the shared dimensions and its own, with the connections that
read them and their products, and all of the layers above. So what an id means to one task need not change what it means
to the other; a private dimension has the gradients of its task alone. As in STEM (AAAI 2024, arXiv 2308.13537)
embeddings have shared and private parts; differs: they are dimensions of one table, hidden layers are shared too unless
`share.towers`, and other tasks' private parts are not read. Each task's part is the embedding's width over the number
of tasks and one, rounded down; the shared part is the rest. `share.masks: none` is the control: the same net, all
shared.
"""

import torch

from ncs.config import Config
from ncs.methods.assign import assign
from ncs.models import ModelType
from ncs.models.connection_share import build
from ncs.nets.inputs import dimension_owners
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask
from ncs.training.loop import Trainer, train_groups

SHARED = -1


def split_masks(net: MaskedNet) -> dict[str, Mask]:
    """Each task's mask: of the first layer the columns of which all units are shared or the task's, else all."""
    inputs = net.spec.inputs
    width, tasks = inputs.embedding, list(net.tasks)
    vectors, owner = len(inputs.layout.vectors), dimension_owners(width, len(tasks))
    owners = torch.cat([owner.repeat(vectors), torch.full((inputs.base - vectors * width,), SHARED)])
    of_columns = owners[inputs.units().clamp(min=0)]  # a dot product, of all dimensions, counts as the first's: shared
    masks = {}
    for n, task in enumerate(tasks):
        layers = dict(Mask.ones(net.maskable(task)))
        layers["hidden.0"] = layers["hidden.0"] * ((of_columns == SHARED) | (of_columns == n)).all(1).to(net.device)
        masks[task] = Mask(layers)
    return masks


def train(net: MaskedNet, trainer: Trainer, conf: Config) -> None:
    """Train under the masks."""
    net.task_masks = assign(split_masks(net), conf.share.masks, conf.train.seed)
    train_groups(net, trainer, conf)


MODEL = ModelType(build, train)
