"""The report's pictures: matplotlib to inline SVG, one palette that colour-blind readers can tell apart."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c5c5c")
GREY = "#8a8f98"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "svg.hashsalt": "ncs",
}


def svg(draw: Callable[[Sequence[Axes]], None], columns: int = 2, height: float = 2.9) -> str:
    """Run `draw` on a row of axes and give the figure as an SVG element."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, columns, figsize=(4.4 * columns, height), layout="constrained", squeeze=False)
        draw(list(axes[0]))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def forest(rows: Mapping[str, Sequence[tuple[str, float, float, float]]], truth: Mapping[str, float]) -> str:
    """Title -> (system, value, low, high): points with their intervals; the reachable end as a line."""

    def draw(axes: Sequence[Axes]) -> None:
        for axis, (title, systems) in zip(axes, rows.items(), strict=True):
            for n, (_, value, low, high) in enumerate(systems):
                axis.plot([low, high], [n, n], color=COLOURS[n % len(COLOURS)], linewidth=2)
                axis.plot(value, n, "o", color=COLOURS[n % len(COLOURS)])
            axis.set_yticks(range(len(systems)), [name for name, *_ in systems])
            axis.invert_yaxis()
            axis.xaxis.set_major_locator(MaxNLocator(5))
            axis.set_title(title, loc="left")
            if title in truth:
                axis.set_xlabel(f"the truth itself would reach {truth[title]:.4f}")

    return svg(draw, len(rows), 1.0 + 0.32 * max(map(len, rows.values())))


def learning_curves(systems: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Validation figures by epoch of each system's final training."""

    def draw(axes: Sequence[Axes]) -> None:
        for axis, (score, title) in zip(axes, (("cvr_mse", "CVR MSE"), ("ctr_auc", "CTR AUC")), strict=True):
            for n, (system, lines) in enumerate(systems.items()):
                points = [
                    (line["epoch"], line["validation"][score])
                    for line in lines
                    if line["phase"] == "joint" and score in line["validation"]
                ]
                axis.plot(*zip(*points, strict=True), "o-", color=COLOURS[n % len(COLOURS)], label=system, markersize=4)
            axis.set(xlabel="epoch", title=f"validation {title}")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[-1].legend()

    return svg(draw)


def pruning(masks: Mapping[str, Any]) -> str:
    """Validation figure and density of each task's mask, by pruning round; the chosen round is ringed."""

    def draw(axes: Sequence[Axes]) -> None:
        for n, (task, rounds) in enumerate(masks["rounds"].items()):
            density = [one["density"]["all"] for one in rounds]
            scores = [one["validation"] for one in rounds]
            chosen = masks["chosen"][task]
            axes[n].plot(density, scores, "o-", color=COLOURS[n], markersize=4)
            axes[n].plot(density[chosen], scores[chosen], "o", color=COLOURS[n], markersize=10, fillstyle="none")
            axes[n].set(xlabel="share of connections kept", ylabel="validation", title=f"{task.upper()} masks")
            axes[n].invert_xaxis()

    return svg(draw)


def densities(masks: Mapping[str, Any]) -> str:
    """Share of connections that each layer keeps, by pruning round."""

    def draw(axes: Sequence[Axes]) -> None:
        for axis, (task, rounds) in zip(axes, masks["rounds"].items(), strict=True):
            for n, layer in enumerate(masks["layers"]):
                values = [one["density"][layer] for one in rounds]
                axis.plot([one["round"] for one in rounds], values, "o-", color=COLOURS[n], label=layer, markersize=4)
            axis.set(xlabel="pruning round", ylabel="kept", title=f"{task.upper()} density by layer", ylim=(0, 1.03))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[-1].legend()

    return svg(draw)


def overlaps(masks: Mapping[str, Any]) -> str:
    """Jaccard overlap of the two tasks' masks by round, beside chance; and what the chosen masks share by layer."""

    def draw(axes: Sequence[Axes]) -> None:
        rounds = [one["round"] for one in masks["overlap"]]
        for n, layer in enumerate(name for name in masks["overlap"][0]["jaccard"] if name != "all"):
            found, chance = ([one[kind][layer] for one in masks["overlap"]] for kind in ("jaccard", "chance"))
            axes[0].plot(rounds, found, "o-", color=COLOURS[n], label=layer, markersize=4)
            axes[0].plot(rounds, chance, ":", color=COLOURS[n], label=f"{layer}, by chance")
        axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set(xlabel="pruning round", ylabel="Jaccard", title="overlap of CTR and CVR masks", ylim=(0, 1.03))
        axes[0].legend()
        final = masks["chosen_overlap"]
        layers = [name for name in final["shared"] if name != "all"]
        left = [0.0] * len(layers)
        for kind, colour in (("shared", COLOURS[2]), ("ctr_only", COLOURS[0]), ("cvr_only", COLOURS[1])):
            values = [final[kind][layer] for layer in layers]
            axes[1].barh(layers, values, left=left, color=colour, label=kind.replace("_", " "))
            left = [a + b for a, b in zip(left, values, strict=True)]
        axes[1].set(xlabel="share of the layer's connections", title="chosen masks", xlim=(0, 1))
        axes[1].invert_yaxis()
        axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)

    return svg(draw)


def labels(days: Sequence[Mapping[str, Any]], edges: Sequence[float], counts: Sequence[int]) -> str:
    """Click rate and mean CVR by day, and the distribution of the CVR label over all days."""

    def draw(axes: Sequence[Axes]) -> None:
        names = [str(one["day"])[5:] for one in days]
        axes[0].plot(
            names, [one["click_rate"] for one in days], "o-", color=COLOURS[0], label="click rate", markersize=4
        )
        axes[0].plot(names, [one["mean_cvr"] for one in days], "o-", color=COLOURS[1], label="mean CVR", markersize=4)
        axes[0].set(title="labels by day", ylim=(0, 1))
        axes[0].tick_params(axis="x", rotation=45)
        axes[0].legend()
        total = max(sum(counts), 1)
        axes[1].bar(edges, [n / total for n in counts], width=0.045, align="edge", color=COLOURS[1])
        axes[1].set(xlabel="CVR = watched / length", ylabel="share of clicked rows", title="CVR labels")

    return svg(draw)
