"""Forest plots: paired differences of models from a reference, more is better, the zero line in the middle."""

from collections.abc import Iterable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ncs.evaluation.charts import svg
from ncs.evaluation.looks import look
from ncs.evaluation.verdict import oriented
from ncs.lake.tables.rows import Difference


def forests(metrics: Iterable[tuple[str, str, str]], differences: Sequence[Difference], reference: str) -> list[str]:
    """A plot a metric (title, task, metric) that has differences from the reference: a line a model, in their order.

    Filled markers are settled differences.
    """
    plots = []
    for title, *metric in metrics:
        rows = [one for one in differences if [one.task, one.metric] == metric and one.reference == reference]
        if rows:
            draw = partial(_draw, title=title, rows=rows)
            plots.append(svg(draw, f"{title}: difference from {reference}", 1.25 + 0.27 * len(rows)))
    return plots


def _draw(axis: Axes, title: str, rows: Sequence[Difference]) -> None:
    for n, one in enumerate(rows):
        colour, marker = look(one.model)
        value, low, high = (oriented(one, value) for value in (one.difference, one.low, one.high))
        axis.plot([low, high], [n, n], color=colour, linewidth=2)
        face = "white" if one.better is None else colour
        axis.plot(value, n, marker, color=colour, markersize=7, markerfacecolor=face)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), [one.model for one in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+g}"))
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(f"← worse\u2003{title}, 95 % interval\u2003better →")
