"""The page of a comparison over training seeds: verdict, forest plots from any reference, cost, a table to sort."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ncs.config import Config
from ncs.evaluation import page
from ncs.evaluation.comparison import Compared, Judged, as_table, caps, evidence, medians, smallest
from ncs.evaluation.endpoint import answer
from ncs.evaluation.figures import forests
from ncs.evaluation.models import legend_name, look, what_it_is
from ncs.evaluation.svg import signed, svg
from ncs.evaluation.tables import cells
from ncs.evaluation.verdict import Evidence, Verdict, oriented, verdict
from ncs.lake.tables.rows import SeedDifference
from ncs.tasks import Task, in_order, named_tasks

_ALL = 6
"""Up to so many models, each of them can be the reference."""


@dataclass(frozen=True)
class Comparison:
    """Models over seeds, and what they were compared on."""

    comparison_id: str
    made_at: datetime
    conf: Config
    compared: Sequence[Compared]
    judged: Sequence[Judged]
    rows: int
    """Test impressions."""
    champion: str | None = None
    """The model in service, `RUN_ID/MODEL`, whose figures on the same rows are among `judged`."""
    champion_note: str | None = None
    """Why nothing is said of it, where there is one."""

    @property
    def seeds(self) -> int:
        """Training seeds of each model."""
        return len(self.compared[0].facts)

    @property
    def models(self) -> list[str]:
        """In the configured order."""
        return [model.model for model in self.compared]

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks, in the order of Table 2."""
        return in_order(named_tasks(self.conf).values())

    @cached_property
    def verdict(self) -> Verdict:
        """What follows from it, with the answer to the question that was named before, if it was."""
        result, wanted = verdict(self._evidence), self.conf.compare.endpoint
        said = wanted and answer(wanted, self.differences, self.tasks)
        return replace(result, notes=[said, *result.notes]) if said else result

    @cached_property
    def table(self) -> str:
        """The tables for a terminal, each with what it can settle: by labels, and against a synthetic world's truth."""
        references, differences, texts = self.conf.compare.references, self.differences, list[str]()
        for truth in (False, True):
            judged = [measure for measure in self.judged if measure.metric.of_truth is truth]
            if judged:
                texts.append(as_table(self.compared, judged, differences, references, costs=not truth))
                texts.append(smallest(judged, differences, references))
        return "\n\n".join(filter(None, [*texts, caps(self.compared)]))

    @property
    def baseline(self) -> str:
        """The model that the verdict is against."""
        return self._evidence.baseline

    @property
    def differences(self) -> Sequence[SeedDifference]:
        """The differences of each model from each other."""
        return [row for row in self._evidence.differences if isinstance(row, SeedDifference)]

    @cached_property
    def _evidence(self) -> Evidence:
        of_models = evidence(self.compared, self.judged, self.conf.compare.references, self.rows, self.champion)
        return replace(of_models, champion_note=self.champion_note)


def render(comparison: Comparison) -> str:
    """The page."""
    return page.render(
        "comparison.html",
        comparison=comparison,
        verdict=comparison.verdict,
        facts=_facts(comparison),
        judged=comparison.judged,
        references=[_from(comparison, name) for name in _references(comparison)],
        models={model: what_it_is(model, comparison.conf) for model in comparison.models},
        costs=_costs(comparison) if len(comparison.models) > 1 else [],
        pairs=(len(comparison.models) - 1) * len(comparison.tasks),
        caps=caps(comparison.compared),
        truth=any(measure.metric.of_truth for measure in comparison.judged),
    )


def _facts(comparison: Comparison) -> dict[str, str]:
    conf = comparison.conf
    return {
        "Compared": f"{comparison.made_at:%Y-%m-%d %H:%M} UTC",
        "Trained on": str(conf.train_days),
        "Tested on": str(conf.test_days),
        "Test impressions": f"{comparison.rows:,}",
        "Models": str(len(comparison.models)),
        "Training seeds": str(comparison.seeds),
    }


def _references(comparison: Comparison) -> list[str]:
    """The models that differences can be taken from on the page, the baseline first."""
    models = comparison.models
    wanted = models if len(models) <= _ALL else [*comparison.conf.compare.references, comparison.verdict.recommended]
    return list(dict.fromkeys(name for name in [comparison.baseline, *wanted] if name in models))


def _from(comparison: Comparison, reference: str) -> dict[str, Any]:
    """Forest plots, table and the smallest differences from one reference."""
    differences = [row for row in comparison.differences if row.reference == reference]
    metrics = [measure.key for measure in comparison.judged]
    return {
        "name": reference,
        "forests": forests([(measure.title, *measure.key) for measure in comparison.judged], differences, reference),
        "smallest": [_smallest(measure, differences) for measure in comparison.judged],
        "rows": [
            {
                "model": model.model,
                "figures": [measure.figures.mean(model.model).value for measure in comparison.judged],
                "differences": cells(differences, model.model, reference, metrics),
                "epochs": model.epochs,
                **{fact: model.mean(fact) for fact in ("parameters", "density", "seconds")},
            }
            for model in comparison.compared
        ],
    }


def _smallest(judged: Judged, differences: Sequence[SeedDifference]) -> dict[str, Any] | None:
    """The smallest differences that a comparison like this settles four times in five, and what limits them."""
    mine = [row for row in differences if judged.of(row)]
    if not mine:
        return None
    halves = {
        name: median((getattr(row, f"{prefix}high") - getattr(row, f"{prefix}low")) / 2 for row in mine)
        for name, prefix in (("both", ""), ("seeds", "seeds_"), ("rows", "rows_"))
    }
    together, alone = medians(mine)
    return {"title": judged.title, "together": together, "alone": alone, **halves}


def _costs(comparison: Comparison) -> list[str]:
    """Quality against cost: a panel a task and kind of cost, a point a model, its gain over the baseline upwards."""
    kinds = {"seconds": "seconds of training", "parameters": "parameters"}
    draw = partial(_draw_cost, comparison=comparison)
    return [
        svg(partial(draw, task=task, fact=fact, label=label), f"{task.title} by {label}", 3.4)
        for task in comparison.tasks
        for fact, label in kinds.items()
    ]


def _draw_cost(axis: Axes, comparison: Comparison, task: Task, fact: str, label: str) -> None:
    base = comparison.baseline
    differences: Mapping[str, SeedDifference] = {
        row.model: row
        for row in comparison.differences
        if (row.task, row.metric, row.reference) == (task.name, task.metric, base)
    }
    for model in comparison.compared:
        (colour, marker), difference, cost = look(model.model), differences.get(model.model), model.mean(fact)
        gain = oriented(difference, difference.difference) if difference else 0.0
        face = colour if difference and difference.better is not None else "white"
        if difference:
            ends = [oriented(difference, value) for value in (difference.low, difference.high)]
            axis.plot([cost, cost], ends, color=colour, linewidth=1)
        name = legend_name(model.model)
        axis.plot(cost, gain, marker, color=colour, markerfacecolor=face, markersize=7, label=name)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel=f"← cheaper\u2003{label}", ylabel=f"from {base}, better ↑")
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter(signed)
    axis.margins(x=0.15)
    if len(comparison.compared) <= _ALL:  # of more the legend would be larger than the picture; colours are the table's
        axis.figure.legend(loc="outside lower center", ncols=2)
