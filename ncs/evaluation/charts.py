"""The report's pictures, a panel each, in colours that the colour-blind can tell apart."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ncs.evaluation.models import COLOURS, GREY, legend_name, look
from ncs.evaluation.svg import svg
from ncs.tasks import Task

LOSSES = {"squared_error": "mean squared error", "cross_entropy": "log loss", "focal": "focal loss"}


def learning_curves(
    tasks: Sequence[Task],
    models: Mapping[str, Sequence[Mapping[str, Any]]],
    loss_weights: Mapping[str, Mapping[str, float]],
) -> list[str]:
    """Validation figure and training loss of each task by epoch; theta's epochs hollow, before those that follow it.

    `loss_weights` are those that each model was trained with: its losses are logged with them, and shown without.
    """

    def draw(axis: Axes, task: str, unit: str, value: Callable[[str, Mapping[str, Any]], float]) -> None:
        for model, lines in models.items():
            (colour, marker), (epochs, mine) = look(model), trained_epochs(lines, task)
            axis.plot(epochs, [value(model, line) for line in mine], "-", color=colour)
            axis.plot([], [], f"{marker}-", color=colour, label=legend_name(model))
            for x, line in zip(epochs, mine, strict=True):
                face = "white" if line["phase"] == "theta" else colour
                axis.plot(x, value(model, line), marker, color=colour, markerfacecolor=face)
        axis.set(xlabel="epochs of training", ylabel=unit)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()

    def reached(_: str, line: Mapping[str, Any], score: str) -> float:
        return line["validation"].get(score, math.nan)

    def fitted(model: str, line: Mapping[str, Any], task: str) -> float:
        return line["loss"].get(task, math.nan) / loss_weights[model][task]

    panels = []
    for task in tasks:
        score, loss = partial(reached, score=task.score), partial(fitted, task=task.name)
        panels += [
            svg(partial(draw, task=task.name, unit=task.measure.label, value=score), f"Validation {task.title}"),
            svg(
                partial(draw, task=task.name, unit=LOSSES[task.loss], value=loss),
                f"Training loss of {task.name.upper()}",
            ),
        ]
    return panels


def trained_epochs(lines: Sequence[Mapping[str, Any]], task: str) -> tuple[list[float], list[Mapping[str, Any]]]:
    """The epochs that led to the final weights, theta's first, and how many had been trained after each.

    Theta may end within an epoch: rows tell how far it came.
    """
    # A task may be learnt from another's samples: then it is validated, but has no loss of its own.
    known = [(line, {*line["loss"], *(score.rpartition("_")[0] for score in line["validation"])}) for line in lines]
    mine = [line for line, tasks in known if line["phase"] in ("theta", "joint") and task in tasks]
    mine.sort(key=lambda line: (line["phase"] == "joint", line["epoch"]))
    whole = max((line["samples"] for line in mine), default=1)
    return list(accumulate(line["samples"] / whole for line in mine)), mine


def pruning(tasks: Mapping[str, Task], masks: Mapping[str, Any]) -> list[str]:
    """Validation figure of each task by pruning round, with the share of connections kept; the chosen is ringed.

    A round that was not validated has no point; where it is the chosen one, a dashed line stands there.
    """

    def draw(axis: Axes, task: Task) -> None:
        rounds = masks["rounds"][task.name]
        scores = {pruned["round"]: pruned["validation"] for pruned in rounds}
        known = {number: score for number, score in scores.items() if score is not None}
        chosen = masks["chosen"][task.name]
        axis.plot(list(known), list(known.values()), "o-", color=COLOURS[0])
        if chosen in known:
            axis.plot(chosen, known[chosen], "o", color=COLOURS[1], markersize=11, fillstyle="none")
        else:
            axis.axvline(chosen, color=COLOURS[1], linestyle="--")
        axis.set_xticks(list(scores), [f"{pruned['round']}\n{pruned['density']['all']:.0%}" for pruned in rounds])
        axis.set(xlabel="pruning round, and share of connections kept", ylabel=task.measure.label)

    return [
        svg(partial(draw, task=tasks[name]), f"Validation {tasks[name].title} under the mask")
        for name in masks["rounds"]
    ]


def densities(masks: Mapping[str, Any]) -> list[str]:
    """Share of connections that each layer keeps, by pruning round."""

    def draw(axis: Axes, task: str) -> None:
        rounds = masks["rounds"][task]
        for n, layer in enumerate(masks["layers"]):
            values = [pruned["density"][layer] for pruned in rounds]
            axis.plot([pruned["round"] for pruned in rounds], values, "o-", color=_colour(n), label=legend_name(layer))
        _by_round(axis, "share of connections kept")
        axis.legend(loc="lower left")

    return [svg(partial(draw, task=task), f"{task.upper()} mask by layer") for task in masks["rounds"]]


def overlaps(masks: Mapping[str, Any]) -> list[str]:
    """Jaccard overlap of two tasks' masks by layer and round, beside chance; what the masks given to them are made of.

    They are the first two of the tasks; where none was given a mask, there is nothing that it is made of.
    """
    left, right, *_ = masks["rounds"]

    def by_round(axis: Axes) -> None:
        rounds = [overlap["round"] for overlap in masks["overlap"]]
        for n, layer in enumerate(_layers(masks["overlap"][0]["jaccard"])):
            jaccard, chance = ([overlap[kind][layer] for overlap in masks["overlap"]] for kind in ("jaccard", "chance"))
            axis.plot(rounds, jaccard, "o-", color=_colour(n), label=legend_name(layer))
            axis.plot(rounds, chance, ":", color=_colour(n))
        axis.plot([], [], ":", color=GREY, label="expected at random")
        _by_round(axis, "Jaccard: in both / in any")
        axis.legend(loc="lower left")

    def chosen(axis: Axes) -> None:
        final = masks["chosen_overlap"]
        layers = _layers(final["shared"])
        used = [0.0] * len(layers)
        for kind, label, colour in (
            ("shared", "shared", COLOURS[2]),
            (f"{left}_only", f"{left.upper()} only", COLOURS[0]),
            (f"{right}_only", f"{right.upper()} only", COLOURS[1]),
        ):
            values = [final[kind][layer] for layer in layers]
            axis.barh(layers, values, left=used, color=colour, label=label, height=0.6)
            used = [a + b for a, b in zip(used, values, strict=True)]
        dead = [max(1 - share, 0.0) for share in used]
        axis.barh(layers, dead, left=used, color="#d9dce1", label="dead", height=0.6)
        axis.set(xlabel="share of the layer's connections", xlim=(0, 1))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.grid(axis="y", visible=False)
        axis.invert_yaxis()
        axis.figure.legend(loc="outside lower center", ncols=4)

    panels = [svg(by_round, f"Overlap of the {left.upper()} and {right.upper()} masks")]
    return [*panels, svg(chosen, "The chosen masks")] if masks["chosen_overlap"] else panels


def conflicts(conflict: Mapping[str, Any], tasks: Sequence[str], dense: Mapping[str, Any]) -> list[str]:
    """The cosine of the first two tasks' gradients by layer, before the masks and after the training under them.

    `dense`: layer -> conflict of a net without masks that was trained as well, empty where the run has none.
    """
    left, right, *_ = tasks
    known = {
        "whole net, before the masks": conflict["theta"],
        "trained subnetworks": conflict["final"],
        "dense control, trained without masks": dense,
    }
    shown = {label: by_layer for label, by_layer in known.items() if by_layer}

    def draw(axis: Axes) -> None:
        layers = list(dict.fromkeys(layer for by_layer in shown.values() for layer in by_layer))
        height = 0.72 / len(shown)
        for n, (label, by_layer) in enumerate(shown.items()):
            at = [layers.index(layer) + height * (n - (len(shown) - 1) / 2) for layer in by_layer]
            values = [cosines["cosine"] for cosines in by_layer.values()]
            bars = axis.barh(at, values, color=_colour(n), height=0.94 * height, label=label)
            axis.bar_label(
                bars, [f"{cosines['negative']:.0%} apart" for cosines in by_layer.values()], padding=3, fontsize=7
            )
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(layers)), layers)
        axis.set(xlabel="mean cosine; apart: share of batches below 0")
        axis.margins(x=0.25)
        axis.grid(axis="y", visible=False)
        axis.invert_yaxis()
        axis.figure.legend(loc="outside lower center", ncols=2)

    return [svg(draw, f"Do {left.upper()} and {right.upper()} pull the same way?")]


def labels(days: Sequence[Mapping[str, Any]], histograms: Mapping[str, Sequence[int]]) -> list[str]:
    """Impressions, click rate and mean CVR by day; the distribution of the CVR label over all days and on each."""
    names = [str(day["day"])[5:] for day in days]

    def rows(axis: Axes) -> None:
        axis.bar(names, [day["impressions"] for day in days], color=COLOURS[5], width=0.7)
        axis.set(xlabel="day", ylabel="impressions")
        axis.yaxis.set_major_formatter("{x:,.0f}")
        _by_day(axis)

    def rates(axis: Axes) -> None:
        for n, (key, label) in enumerate((("click_rate", "click rate"), ("mean_cvr", "mean CVR"))):
            axis.plot(names, [day[key] for day in days], "o-", color=_colour(n), label=label)
        axis.set(xlabel="day", ylabel="share", ylim=(0, 1))
        _by_day(axis)
        axis.legend(loc="upper right", ncols=2)

    def cvr(axis: Axes) -> None:
        bins = len(next(iter(histograms.values())))
        edges = [n / bins for n in range(bins + 1)]
        for n, counts in enumerate(histograms.values()):
            axis.stairs(_shares(counts), edges, color=GREY, linewidth=0.6, label=None if n else "each day")
        whole = [sum(counts) for counts in zip(*histograms.values(), strict=True)]
        axis.stairs(_shares(whole), edges, color=COLOURS[1], fill=True, alpha=0.75, zorder=0.9, label="all days")
        axis.set(xlabel="CVR label = watched / length", ylabel="share of labelled clicks", xlim=(0, 1))
        axis.legend(loc="upper center")

    return [svg(rows, "Impressions by day"), svg(rates, "Click rate and mean CVR by day"), svg(cvr, "CVR labels")]


def _colour(n: int) -> str:
    return COLOURS[n % len(COLOURS)]


def _layers(by_layer: Mapping[str, float]) -> list[str]:
    return [name for name in by_layer if name != "all"]


def _shares(counts: Sequence[int]) -> list[float]:
    return [n / max(sum(counts), 1) for n in counts]


def _by_round(axis: Axes, what: str) -> None:
    axis.set(xlabel="pruning round", ylabel=what, ylim=(0, 1.03))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(PercentFormatter(1))


def _by_day(axis: Axes) -> None:
    axis.tick_params(axis="x", rotation=45)
    axis.grid(axis="x", visible=False)
