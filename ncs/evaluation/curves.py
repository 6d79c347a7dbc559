"""Figures of models along the values of a key: a table, curves with their intervals, the page of both."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from ncs.evaluation import page
from ncs.evaluation.comparison_page import Comparison
from ncs.evaluation.models import legend_name, look
from ncs.evaluation.paired import difference
from ncs.evaluation.svg import signed, svg
from ncs.evaluation.tables import cells
from ncs.evaluation.verdict import oriented
from ncs.text import markdown

Swept = Sequence[tuple[Any, Comparison]]
"""Value of the key -> what was compared with it."""


def as_table(key: str, swept: Swept) -> str:
    """A line a value and model, in Markdown: each task's mean figure with its 95 % interval."""
    lines = [[key, "model", *(measure.title for measure in swept[0][1].judged)]]
    for value, comparison in swept:
        for model in comparison.models:
            cells = []
            for measure in comparison.judged:
                mean = measure.figures.mean(model)
                cells.append(f"{mean.value:.5f} [{mean.over_both.low:.5f}, {mean.over_both.high:.5f}]")
            lines.append([str(value), model, *cells])
    return markdown(lines)


def draw(key: str, swept: Swept, reference: str) -> dict[str, str]:
    """A picture a metric, as SVG: every model's difference from the reference (or from the first model) by value.

    Bars are 95 % intervals over seeds and test rows; values stand side by side in the order in which they were given.
    """
    names = swept[0][1].models
    base = reference if reference in names else names[0]

    def panel(axis: Axes, number: int) -> None:
        for n, name in enumerate(name for name in names if name != base):
            points = []
            for _, comparison in swept:
                measure = comparison.judged[number]
                row = difference(name, base, measure.task, measure.metric, measure.figures)
                points.append([oriented(row, value) for value in (row.difference, row.low, row.high)])
            (colour, marker), at = look(name), [x + 0.06 * n for x in range(len(points))]  # beside, not on each other
            bars = [[middle - min(ends), max(ends) - middle] for middle, *ends in points]
            errors = [list(side) for side in zip(*bars, strict=True)]
            axis.errorbar(
                at,
                [middle for middle, *_ in points],
                errors,
                fmt=f"{marker}-",
                color=colour,
                label=legend_name(name),
                capsize=2,
            )
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xticks(range(len(swept)), [str(value) for value, _ in swept])
        axis.set(xlabel=key, ylabel=f"from {base}, better ↑")
        axis.yaxis.set_major_formatter(signed)
        if len(names) > 1:
            axis.figure.legend(loc="outside lower center", ncols=2)

    return {
        "_".join(measure.key): svg(partial(panel, number=n), f"{measure.title} by {key}", height=3.4)
        for n, measure in enumerate(swept[0][1].judged)
    }


def render(key: str, sweep: Sequence[tuple[Any, Comparison]], pictures: Sequence[str]) -> str:
    """The page of a sweep: the verdict at each value, the curves, a table to sort."""
    judged = sweep[0][1].judged
    return page.render(
        "sweep.html",
        key=key,
        sweep=[(str(value), comparison, comparison.verdict) for value, comparison in sweep],
        headline=headline(sweep),
        pictures=pictures,
        judged=judged,
        rows=[
            {
                "value": str(value),
                "model": model.model,
                "figures": [measure.figures.mean(model.model).value for measure in comparison.judged],
                "differences": cells(
                    comparison.differences, model.model, comparison.baseline, [measure.key for measure in judged]
                ),
                "seconds": model.mean("seconds"),
            }
            for value, comparison in sweep
            for model in comparison.compared
        ],
    )


def headline(sweep: Sequence[tuple[Any, Comparison]]) -> str:
    """Which model is to be used at how many of the values."""
    chosen = Counter(comparison.verdict.recommended for _, comparison in sweep)
    named = [f"{model or 'no model'} at {count}" for model, count in chosen.most_common()]
    return f"{', '.join(named)} of {len(sweep)} values"
