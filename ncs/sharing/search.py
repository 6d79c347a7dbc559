"""Algorithm 1 of the paper: theta, each task's mask by iterative pruning, joint training under the masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ncs.config import Prune
from ncs.nets.masked import MaskedNet
from ncs.sharing.mask import Mask, overlap
from ncs.sharing.pruning import prune
from ncs.sharing.score import SCORES
from ncs.tasks import TASKS
from ncs.training.loop import Phase, Trainer

Theta = Mapping[str, Tensor]


@dataclass(frozen=True)
class Round:
    """Pruning round i of a task: mask i, and the validation figure of theta trained under it for an epoch."""

    mask: Mask
    validation: float


def connection_sharing(net: MaskedNet, trainer: Trainer, conf: Prune, epochs: int, patience: int) -> None:
    """The whole of Algorithm 1; leaves in `net` the shared weights and each task's mask."""
    tasks = tuple(TASKS)
    theta = train_theta(net, trainer, conf)  # line 2
    rounds = {task: search_mask(net, theta, trainer, conf, task) for task in tasks}  # lines 3 to 11
    chosen = {task: select(rounds[task], task) for task in tasks}  # line 10
    trainer.store.write_json("masks", describe(rounds, chosen))
    net.load_state_dict(theta)  # line 13
    net.task_masks = {task: rounds[task][chosen[task]].mask for task in tasks}
    joint = Phase("joint", tasks, epochs, patience=patience)
    trainer.fit(net, joint)  # lines 14 to 18


def train_theta(net: MaskedNet, trainer: Trainer, conf: Prune) -> Theta:
    """Weights of the dense net after mixed training of all tasks (Algorithm 1, line 2)."""
    phase = Phase("theta", tuple(TASKS), conf.theta_epochs)

    def train() -> dict[str, Any]:
        net.task_masks = {}
        trainer.fit(net, phase)
        return net.state_dict()

    return trainer.store.once("theta", train)


def search_mask(net: MaskedNet, theta: Theta, trainer: Trainer, conf: Prune, task: str) -> list[Round]:
    """Masks 0 (dense) to `conf.rounds` of a task, each pruned from the one before (Algorithm 1, lines 4 to 9).

    Each round starts from theta with a fresh optimiser and trains an epoch of the task's own samples under the
    round's mask. That epoch both scores this mask and ranks the connections for the next.
    """
    mask = Mask.ones(net.maskable(task))
    rounds = []
    for i in range(conf.rounds + 1):
        net.load_state_dict(theta)  # lines 8 and 13: every round starts from theta
        net.task_masks = {task: mask}
        phase = Phase("search", (task,), 1, round=i)

        def train(phase: Phase = phase, mask: Mask = mask) -> dict[str, Any]:
            validation = trainer.fit(net, phase)[TASKS[task].score]  # line 6
            scores = {
                name: SCORES[conf.score](weight.detach(), theta[name]) for name, weight in net.maskable(task).items()
            }
            return {
                "validation": validation,
                "next": dict(prune(mask, scores, conf.rate, conf.scope)),
            }  # line 7

        result = trainer.store.once(phase.key, train)
        rounds.append(Round(mask, result["validation"]))
        mask = Mask(result["next"])
    return rounds


def select(rounds: list[Round], task: str) -> int:
    """The round with the best validation figure; of equal ones the sparser (Algorithm 1, line 10)."""
    best = 0
    for i, candidate in enumerate(rounds):
        if not TASKS[task].better(rounds[best].validation, than=candidate.validation):
            best = i
    return best


def describe(rounds: Mapping[str, list[Round]], chosen: Mapping[str, int]) -> dict[str, Any]:
    """Densities, validation figures and overlaps of all rounds as plain data, for the report and the notebooks."""
    left, right = rounds
    whole = {name: mask.numel() for task in rounds for name, mask in rounds[task][0].mask.items()}
    per_round = [overlap(a.mask, b.mask) for a, b in zip(rounds[left], rounds[right], strict=True)]
    final = overlap(rounds[left][chosen[left]].mask, rounds[right][chosen[right]].mask)
    return {
        "layers": {_short(name): count for name, count in whole.items()},
        "rounds": {
            task: [
                {"round": i, "density": _shortened(one.mask.density()), "validation": one.validation}
                for i, one in enumerate(rounds[task])
            ]
            for task in rounds
        },
        "chosen": dict(chosen),
        "overlap": [
            {"round": i, **{figure: _shortened(one[figure]) for figure in ("jaccard", "chance")}}
            for i, one in enumerate(per_round)
        ],
        "chosen_overlap": {
            figure.replace("left", left).replace("right", right): _shortened(values) for figure, values in final.items()
        },
    }


def _shortened(by_layer: Mapping[str, float]) -> dict[str, float]:
    return {_short(name): value for name, value in by_layer.items()}


def _short(name: str) -> str:
    name = name.removesuffix(".weight")
    return "output" if name.startswith("outputs.") else name
