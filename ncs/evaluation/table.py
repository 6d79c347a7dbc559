"""The comparison in the form of the paper's Table 2, as text."""

from collections.abc import Iterable, Sequence

from ncs.evaluation.names import TRUTH
from ncs.lake.tables.rows import Figure
from ncs.metrics import METRICS
from ncs.tasks import Task, in_order
from ncs.text import aligned


def as_text(figures: Sequence[Figure], models: Sequence[str], tasks: Iterable[Task]) -> str:
    """A line a model: figure, 95 % interval, absolute and relative gain against the baseline, better is +."""
    by_key = {(one.model, one.task, one.metric): one for one in figures}
    columns = in_order(tasks)
    header = ["model"]
    for task in columns:
        header += [task.title, "95 % interval", "MTL gain"]
    lines = [header]
    for model in [*models, *([TRUTH] if any(one.model == TRUTH for one in figures) else [])]:
        line = [f"({model})" if model == TRUTH else model]
        for task in columns:
            one = by_key.get((model, task.name, task.metric))
            # The truth of a further task is not known.
            line += [f"{one.value:.5f}", f"{one.ci_low:.5f} .. {one.ci_high:.5f}", gain(one)] if one else ["-"] * 3
        lines.append(line)
    return "\n".join(aligned(lines))


def gain(one: Figure) -> str:
    """Gain as the paper writes it: `+0.00125 (-0.91%)`, the sign in front says better (+) or worse (-)."""
    if one.model in (one.baseline, TRUTH):
        return "-" if one.model == one.baseline else "(reachable)"
    absolute = one.value - one.value / (1 + one.gain)
    better = absolute if METRICS[one.metric].more_is_better else -absolute
    return f"{better:+.5f} ({one.gain:+.2%})"
