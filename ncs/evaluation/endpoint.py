"""The one question that a comparison is made for, named in the configuration before the run.

Is the model's CVR MSE lower than that of the best of its controls, each of which lacks one thing that could explain a
win, at a CTR AUC that is not lower by more than a margin?
"""

from collections.abc import Sequence

from ncs.config import Endpoint
from ncs.evaluation.verdict import oriented
from ncs.lake.tables.rows import SeedDifference
from ncs.tasks import CTR, CVR, Task


def answer(wanted: Endpoint, differences: Sequence[SeedDifference], tasks: Sequence[Task]) -> str | None:
    """The answer in a sentence; None where the comparison lacks the model or all of its controls.

    It is settled where the model is better than each control by an interval that looks at that one alone: all of them
    have to hold, so that nothing is gained by there being many (intersection-union test).
    """
    by_name = {task.name: task for task in tasks}
    cvr = _from_controls(wanted, differences, by_name[CVR])
    ctr = _from_controls(wanted, differences, by_name[CTR])
    if not cvr:
        return None
    best = min(cvr, key=lambda row: oriented(row, row.difference))  # the control that the model gains least over
    settled = all(_sides(row)[1] > 0 for row in cvr)
    kept = all(oriented(row, row.difference) >= -wanted.margin for row in ctr)
    lacking = [name for name in wanted.controls if all(row.reference != name for row in cvr)]
    met = "not met" if not (settled and kept) else "open" if lacking else "met"
    (beside,) = (row for row in ctr if row.reference == best.reference)
    parts = [
        f"{by_name[CVR].title} of {wanted.model} is {_size(best)} than that of {best.reference}, its best control",
        f"{'settled' if settled else 'not settled'} against {len(cvr)} of {len(wanted.controls)} controls",
        f"{by_name[CTR].title} {_size(beside)}, {wanted.margin:g} lower is allowed",
        *([f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not among the models"] if lacking else []),
    ]
    return f"endpoint {met}: {'; '.join(parts)}"


def _from_controls(wanted: Endpoint, differences: Sequence[SeedDifference], task: Task) -> list[SeedDifference]:
    return [
        row
        for row in differences
        if row.model == wanted.model
        and row.reference in wanted.controls
        and (row.task, row.metric) == (task.name, task.metric)
    ]


def _sides(row: SeedDifference) -> tuple[float, float, float]:
    """Difference and the ends of its interval, more is better."""
    low, high = sorted((oriented(row, row.low), oriented(row, row.high)))
    return oriented(row, row.difference), low, high


def _size(row: SeedDifference) -> str:
    """A difference in words, with its relative size and interval as they are."""
    relative = "" if row.relative is None else f" ({row.relative:+.2%})"
    side = "higher" if row.difference > 0 else "lower"
    return f"{abs(row.difference):.5f}{relative} {side} [{row.low:+.5f}, {row.high:+.5f}]"
