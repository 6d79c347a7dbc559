"""Step 1 of the paper's Algorithm 1: theta, then each task's mask by iterative pruning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ncs.config import Prune
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask, by_input, maps, overlap
from ncs.pruning.prune import SCORES, Scope, prune
from ncs.tasks import Task
from ncs.training.loop import Phase, Trainer

Theta = Mapping[str, Tensor]
PruneRound = Callable[[Mask, Mapping[str, Tensor], float, Scope], Mask]


@dataclass(frozen=True)
class Round:
    """Pruning round i of a task: mask i, and the validation figure of theta trained under it for an epoch.

    The figure is None where the last round is taken whatever it would be.
    """

    mask: Mask
    validation: float | None


@dataclass(frozen=True)
class Found:
    """What a search has found: theta, every task's rounds, the round that was chosen."""

    theta: Theta
    rounds: Mapping[str, Sequence[Round]]
    chosen: Mapping[str, int]

    @property
    def masks(self) -> dict[str, Mask]:
        """Each task's chosen mask."""
        return {task: self.rounds[task][best].mask for task, best in self.chosen.items()}


def find_masks(net: MaskedNet, trainer: Trainer, conf: Prune, prune: PruneRound = prune) -> Found:
    """Lines 1 to 11: the masks of all tasks of `net`, whose weights and masks are changed on the way."""
    theta = train_theta(net, trainer, conf)  # line 2
    if conf.at_once and (part := trainer.cluster.part(len(net.tasks))):
        with trainer.cluster.meeting():
            search_mask(net, theta, trainer.for_subgroup(part), conf, list(net.tasks)[part.number], prune)
    trainer.store.merge_subgroups()
    # Rounds that parts of the workers have found are only read here.
    rounds = {task: search_mask(net, theta, trainer, conf, task, prune) for task in net.tasks}  # lines 3 to 11
    chosen = {task: select(rounds[task], net.tasks[task]) for task in net.tasks}  # line 10
    trainer.store.clear_checkpoints()
    return Found(theta, rounds, chosen)


def train_theta(net: MaskedNet, trainer: Trainer, conf: Prune) -> Theta:
    """Weights of the dense net after mixed training of all tasks (line 2); at 0 epochs, the ones it was made with."""
    tasks = tuple(net.tasks)

    def train() -> dict[str, Any]:
        net.task_masks = {}
        if conf.theta_epochs:
            trainer.fit(net, Phase("theta", tasks, tasks, conf.theta_epochs))
        return net.state_dict()

    return trainer.store.get_or_compute(f"theta-{tasks[0]}" if len(tasks) == 1 else "theta", train)


def search_mask(
    net: MaskedNet, theta: Theta, trainer: Trainer, conf: Prune, task: str, prune: PruneRound
) -> list[Round]:
    """Masks 0 (dense) to `conf.rounds` of a task, each pruned from the one before (lines 4 to 9).

    Each round starts from theta with a fresh optimiser and trains an epoch of the task's own samples under the
    round's mask. That epoch both scores this mask and ranks the connections for the next. The last mask's epoch is
    left out where nothing hangs on its score.
    """
    net.load_state_dict(theta)
    at_start = {name: weight.detach().cpu().clone() for name, weight in net.maskable(task).items()}
    mask, rounds = Mask.ones(at_start), list[Round]()
    for i in range(conf.rounds + 1):
        if conf.select == "last" and i == conf.rounds:
            return [*rounds, Round(mask, None)]
        phase = Phase("search", (task,), (task,), 1, round=i)

        def train(phase: Phase = phase, mask: Mask = mask) -> dict[str, Any]:
            net.load_state_dict(theta)  # lines 8 and 13: every round starts from theta
            net.task_masks = {task: mask}
            validation = trainer.fit(net, phase)[net.tasks[task].score]  # line 6
            scores = {
                name: SCORES[conf.score](weight.detach().cpu(), at_start[name])
                for name, weight in net.maskable(task).items()
            }
            return {
                "validation": validation,
                "next": dict(prune(mask, scores, conf.rate_of(task), conf.scope)),  # line 7
            }

        result = trainer.store.get_or_compute(phase.key, train)
        rounds.append(Round(mask, result["validation"]))
        mask = Mask(result["next"])
    return rounds


def select(rounds: Sequence[Round], task: Task) -> int:
    """The round with the best validation figure, of equal ones the sparser (line 10); the last, if it has none."""
    best = 0
    for i, candidate in enumerate(rounds):
        score, than = candidate.validation, rounds[best].validation
        if score is None or than is None or not task.better(than, than=score):
            best = i
    return best


def describe(found: Found, masks: Mapping[str, Mask], columns: Mapping[str, list[int]]) -> dict[str, Any]:
    """Densities, validation figures and overlaps of all rounds, and maps, as plain data, for report and notebooks.

    `masks` are those that the tasks were given in the end; `columns` says what loaders the first layer.
    """
    left, right, *_ = found.rounds  # the first two tasks
    pairs = zip(found.rounds[left], found.rounds[right], strict=True)
    return {
        "layers": {name: mask.numel() for name, mask in found.rounds[left][0].mask.items()},
        "rounds": {
            task: [
                {"round": i, "density": one.mask.density(), "validation": one.validation}
                for i, one in enumerate(rounds)
            ]
            for task, rounds in found.rounds.items()
        },
        "chosen": dict(found.chosen),
        "density": {task: mask.density() for task, mask in masks.items()},
        "overlap": [{"round": i, **_shares(a.mask, b.mask, "jaccard", "chance")} for i, (a, b) in enumerate(pairs)],
        "chosen_overlap": _between(left, right, masks),
        "inputs": _between(left, right, {task: by_input(mask, columns) for task, mask in masks.items()}),
        "maps": {
            layer: {part.replace("left", left).replace("right", right): values for part, values in parts.items()}
            for layer, parts in maps(masks[left], masks[right]).items()
        }
        if masks
        else {},
    }


def _between(left: str, right: str, masks: Mapping[str, Mask]) -> dict[str, dict[str, float]]:
    """How two tasks' masks lie, the figures called by the tasks; nothing where no task was given one."""
    figures = overlap(masks[left], masks[right]) if masks else {}
    return {figure.replace("left", left).replace("right", right): values for figure, values in figures.items()}


def _shares(left: Mask, right: Mask, *figures: str) -> dict[str, dict[str, float]]:
    whole = overlap(left, right)
    return {figure: whole[figure] for figure in figures}
