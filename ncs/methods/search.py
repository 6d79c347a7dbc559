"""Step 1 of the paper's Algorithm 1: theta, then each task's mask by iterative pruning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from ncs.config import Prune
from ncs.lake.documents import MaskRound, Masks, Overlap
from ncs.methods.fisher import squared_gradients
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask, by_input, maps, overlap
from ncs.pruning.prune import SCORES, Scope, prune, tied_by_input, with_price
from ncs.tasks import Task
from ncs.training.loop import Trainer
from ncs.training.phase import Phase

Theta = Mapping[str, Tensor]
T = TypeVar("T")
PruneRound = Callable[[Mask, Mapping[str, Tensor], float, Scope], Mask]


@dataclass(frozen=True)
class Round:
    """Pruning round i of a task: mask i, and the validation figure of theta trained under it for an epoch.

    The figure is None where the last round is chosen whatever it would be.
    """

    mask: Mask
    validation: float | None


@dataclass(frozen=True)
class Search:
    """The result of step 1: theta, all pruning rounds of each task, the round that was chosen."""

    theta: Theta
    rounds: Mapping[str, Sequence[Round]]
    chosen: Mapping[str, int]

    @property
    def masks(self) -> dict[str, Mask]:
        """Each task's chosen mask."""
        return {task: self.rounds[task][best].mask for task, best in self.chosen.items()}


def find_masks(net: MaskedNet, trainer: Trainer, conf: Prune, prune: PruneRound = prune) -> Search:
    """Lines 2 to 11: theta and the masks of all tasks of `net`, whose weights and masks are changed on the way.

    With `prune.at_once` each subgroup of the workers first searches the mask of one task, at the same time; what they
    have found is then only read.
    """
    theta = train_theta(net, trainer, conf)  # line 2
    if conf.at_once and (subgroup := trainer.cluster.subgroup(len(net.tasks))):
        with trainer.cluster.meeting():
            task = list(net.tasks)[subgroup.subgroup_number]
            search_mask(net, theta, trainer.for_subgroup(subgroup), conf, task, prune)
    trainer.store.merge_subgroups()
    rounds: dict[str, list[Round]] = {}
    chosen: dict[str, int] = {}
    for task in net.tasks:  # line 3
        taken = [rounds[other][best].mask for other, best in chosen.items()]
        rounds[task] = search_mask(net, theta, trainer, conf, task, prune, taken)  # lines 4 to 9
        chosen[task] = select(rounds[task], net.tasks[task])  # line 10
    trainer.store.clear_checkpoints()
    return Search(theta, rounds, chosen)


def train_theta(net: MaskedNet, trainer: Trainer, conf: Prune) -> Theta:
    """Weights of the dense net after mixed training of all tasks (line 2); its initial weights at 0 epochs."""
    tasks = tuple(net.tasks)

    def train() -> dict[str, Any]:
        net.task_masks = {}
        if conf.theta_epochs:
            trainer.fit(net, Phase("theta", tasks, tasks, conf.theta_epochs))
        return net.state_dict()

    return trainer.store.get_or_compute(f"theta-{tasks[0]}" if len(tasks) == 1 else "theta", train)


def search_mask(
    net: MaskedNet,
    theta: Theta,
    trainer: Trainer,
    conf: Prune,
    task: str,
    prune: PruneRound,
    taken: Sequence[Mask] = (),
) -> list[Round]:
    """Masks 0 (dense) to `conf.rounds` of a task, each pruned from the one before (lines 4 to 9).

    An epoch under a mask both judges this mask and scores the connections for the next. The last mask has an epoch too,
    by which it competes, unless it is chosen anyway (`prune.select: last`). `taken` are the masks of other tasks, whose
    connections have a price (`prune.overlap_price`).
    """
    net.load_state_dict(theta)
    at_theta = {name: weight.detach().cpu().clone() for name, weight in net.maskable(task).items()}
    mask, rounds = Mask.ones(at_theta), list[Round]()  # line 4
    for i in range(conf.rounds + 1):  # line 5
        if conf.select == "last" and i == conf.rounds:
            return [*rounds, Round(mask, None)]

        def train_and_prune(i: int = i, mask: Mask = mask) -> dict[str, Any]:
            net.load_state_dict(theta)  # line 8
            net.task_masks = {task: mask}
            kept = trainer.fit(net, Phase("search", (task,), (task,), 1, round=i))  # line 6
            scores = with_price(_scores(net, trainer, conf, task, at_theta), taken, conf.overlap_price)
            scores = tied_by_input(mask, scores) if conf.granularity == "input" else scores
            pruned = prune(mask, scores, conf.pruning_rate(task), conf.scope)  # line 7
            return {"validation": kept[task].score, "next": dict(pruned)}

        artefact = trainer.store.get_or_compute(f"search-{task}-{i:02d}", train_and_prune)
        rounds.append(Round(mask, artefact["validation"]))
        mask = Mask(artefact["next"])
    return rounds


def _scores(net: MaskedNet, trainer: Trainer, conf: Prune, task: str, theta: Theta) -> dict[str, Tensor]:
    """The scores of all connections that a mask of the task covers, by layer, in host memory."""
    trained = {name: weight.detach().cpu() for name, weight in net.maskable(task).items()}
    if conf.score == "fisher":
        squares = squared_gradients(net, trainer, task)
        return {name: weight.square() * squares[name] for name, weight in trained.items()}
    return {name: SCORES[conf.score](weight, theta[name]) for name, weight in trained.items()}


def select(rounds: Sequence[Round], task: Task) -> int:
    """The round with the best validation figure, of equal ones the sparser (line 10); the last, if it has none."""
    best = 0
    for i, candidate in enumerate(rounds):
        score, than = candidate.validation, rounds[best].validation
        if score is None or than is None or not task.measure.better(than, than=score):
            best = i
    return best


def describe(search: Search, masks: Mapping[str, Mask], columns: Mapping[str, list[int]]) -> Masks:
    """Densities, validation figures and overlaps of all rounds, and maps: `masks.json`, for report and notebooks.

    `masks` are those that the tasks were trained with; `columns` are the input columns of each feature and cross.
    """
    left, right, *_ = search.rounds  # the first two tasks
    pairs = zip(search.rounds[left], search.rounds[right], strict=True)
    return Masks(
        layers={name: mask.numel() for name, mask in search.rounds[left][0].mask.items()},
        rounds={
            task: [
                MaskRound(round=i, density=candidate.mask.density(), validation=candidate.validation)
                for i, candidate in enumerate(rounds)
            ]
            for task, rounds in search.rounds.items()
        },
        chosen=dict(search.chosen),
        density={task: mask.density() for task, mask in masks.items()},
        overlap=[_overlap_of_round(i, a.mask, b.mask) for i, (a, b) in enumerate(pairs)],
        chosen_overlap=_by_task_name(left, right, overlap(masks[left], masks[right])) if masks else {},
        inputs=_overlap_by_input(left, right, masks, columns) if masks else {},
        maps={
            layer: _by_task_name(left, right, by_owner) for layer, by_owner in maps(masks[left], masks[right]).items()
        }
        if masks
        else {},
    )


def _overlap_of_round(i: int, left: Mask, right: Mask) -> Overlap:
    figures = overlap(left, right)
    return Overlap(round=i, jaccard=figures["jaccard"], chance=figures["chance"])


def _overlap_by_input(
    left: str, right: str, masks: Mapping[str, Mask], columns: Mapping[str, list[int]]
) -> dict[str, dict[str, float]]:
    """The overlap of two tasks' masks in the first layer, by field and cross."""
    return _by_task_name(left, right, overlap(by_input(masks[left], columns), by_input(masks[right], columns)))


def _by_task_name(left: str, right: str, figures: Mapping[str, T]) -> dict[str, T]:
    """Figures called `left_only` and `right_only` under the tasks' names."""
    return {name.replace("left", left).replace("right", right): value for name, value in figures.items()}
