"""Where a worker computes, and in which precision."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from ncs.errors import TrainingError
from ncs.training.cluster import Cluster


def device_of(wanted: Literal["auto", "cpu", "cuda"], cluster: Cluster) -> torch.device:
    """The device of this worker, by `train.device`: the workers of a machine take its GPUs in turn.

    Raises TrainingError if a GPU is wanted and there is none.
    """
    if wanted != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", cluster.local_rank % torch.cuda.device_count())
    if wanted == "cuda":
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise TrainingError(
            f"train.device is cuda, but torch {torch.__version__}, built {built}, finds no GPU on this machine; "
            "install the GPU's driver and a torch that is built for it, or set train.device to auto or cpu"
        )
    return torch.device("cpu")


def computing_in(precision: Literal["float32", "bfloat16"], device: torch.device) -> AbstractContextManager[None]:
    """Within it matrix products are of the precision; weights, gradients and what needs it stay float32."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, torch.bfloat16)
