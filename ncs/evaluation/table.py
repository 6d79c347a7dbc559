"""The comparison in the form of the paper's Table 2, as text."""

from collections.abc import Iterable, Sequence

from ncs.evaluation.metrics import TRUTH, Figure
from ncs.tasks import Task, in_order
from ncs.text import aligned


def as_text(figures: Sequence[Figure], systems: Sequence[str], tasks: Iterable[Task]) -> str:
    """A line a system: figure, 95 % interval, absolute and relative gain against the baseline, better is +."""
    by_key = {(one.system, one.task, one.metric): one for one in figures}
    columns = in_order(tasks)
    header = ["system"]
    for task in columns:
        header += [task.title, "95 % interval", "MTL gain"]
    lines = [header]
    for system in [*systems, *([TRUTH] if any(one.system == TRUTH for one in figures) else [])]:
        line = [f"({system})" if system == TRUTH else system]
        for task in columns:
            one = by_key.get((system, task.name, task.metric))
            # The truth of a further task is not known.
            line += [f"{one.value:.5f}", f"{one.ci_low:.5f} .. {one.ci_high:.5f}", gain(one)] if one else ["-"] * 3
        lines.append(line)
    return "\n".join(aligned(lines))


def gain(one: Figure) -> str:
    """Gain as the paper writes it: `+0.00125 (-0.91%)`, the sign in front says better (+) or worse (-)."""
    if one.system in (one.baseline, TRUTH):
        return "-" if one.system == one.baseline else "(reachable)"
    absolute = one.value - one.value / (1 + one.gain)
    better = -absolute if one.metric == "mse" else absolute
    return f"{better:+.5f} ({one.gain:+.2%})"
