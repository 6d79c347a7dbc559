"""The model in service beside the models of a run: whether they can be compared row by row, and why not. No Spark."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobs.pipeline.chosen import Chosen, load
from ncs.config import Config
from ncs.days import Days
from ncs.errors import NcsError
from ncs.evaluation.verdict import Evidence
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.lake.registry import CHAMPION, ModelRef, Registry
from ncs.lake.tables.rows import RunDifference
from ncs.lake.vocabulary import is_successor
from ncs.tasks import named_tasks

if TYPE_CHECKING:  # `ncs status` asks for the champion too, without torch
    from ncs.runs.run import Run


@dataclass(frozen=True)
class Champion:
    """The present champion, which a run's models are compared with on the run's test days."""

    ref: ModelRef
    run_id: str
    """Of the models that are compared."""
    chosen: Chosen | None
    problem: str | None
    """Why they cannot be compared; None: they can."""

    @property
    def name(self) -> str:
        """Its name in a comparison: as in its run, if it is of the same, else `RUN_ID/MODEL`."""
        return self.ref.model if self.of_run else str(self.ref)

    @property
    def of_run(self) -> bool:
        """Whether it is one of the models that are compared."""
        return self.ref.run_id == self.run_id

    @property
    def other(self) -> Chosen | None:
        """The champion where it is of another run and can be compared with."""
        return None if self.of_run or self.problem else self.chosen

    def note(self) -> str | None:
        """The line that says why nothing is said of it."""
        return f"not compared with the champion, {self.ref}: {self.problem}" if self.problem else None


def champion_beside(lake: Lake, run_id: str, conf: Config) -> Champion | None:
    """The champion beside the models of a run; None: there is no champion.

    One that was trained on test days of the run, or has other tasks, cannot be compared; nor one that is broken.
    """
    ref = Registry.read(lake).current(CHAMPION)
    if ref is None:
        return None
    try:
        chosen = load(lake, ref)
    except NcsError as err:  # the run's own models can be compared all the same
        return Champion(ref, run_id, None, str(err))
    return Champion(ref, run_id, chosen, None if ref.run_id == run_id else _problem(chosen.conf, conf))


def predictions_beside(lake: Lake, run_id: str, conf: Config) -> tuple[Champion | None, dict[str, int]]:
    """The champion beside the models of a run, and by day the version of its predictions of the run's test days.

    Without predictions, which `ncs predict` makes, it cannot be compared.
    """
    champion = champion_beside(lake, run_id, conf)
    if champion is None or champion.other is None:
        return champion, {}
    records = lake.records(layout.PREDICTIONS) if lake.has(layout.PREDICTIONS) else {}
    keys = {f"{champion.ref}/{day}": day for day in conf.test_days}
    missing = [day for key, day in keys.items() if key not in records]
    if missing:
        problem = f"it has not predicted {Days.text(missing)} on its own; run `ncs predict`"
        return replace(champion, problem=problem), {}
    return champion, {key: records[key][0] for key in keys}


def champion_on(lake: Lake, run: "Run") -> tuple[Chosen | None, str | None]:
    """The champion, if it can score the encoded test rows of a run; else None, and where there is one why it cannot.

    It reads a newer vocabulary that has grown from its own: ids that it does not know are unknown to it.
    """
    champion = champion_beside(lake, "", run.conf)
    if champion is None or champion.other is None:
        return None, champion.note() if champion else None
    chosen, inputs = champion.other, ("fields", "statistics", "history")
    (_, encoded) = lake.records(layout.VOCABULARY, run.versions[layout.VOCABULARY])[layout.ALL]
    problem = None
    if chosen.conf.layout != run.conf.layout or chosen.conf.part(*inputs) != run.conf.part(*inputs):
        problem = "it was trained with other fields, statistics or history"
    elif not is_successor(encoded.facts, chosen.described.vocabulary.get(layout.ALL, {})):
        problem = "its ids are of another vocabulary"
    return (None, replace(champion, problem=problem).note()) if problem else (chosen, None)


def with_champion(evidence: Evidence, run_id: str, champion: Champion | None) -> Evidence:
    """The evidence on a run's models with what its differences say of the champion, or why they say nothing."""
    if champion is None:
        return evidence
    named = [
        row
        if not isinstance(row, RunDifference) or row.reference_run == run_id
        else replace(row, reference=str(ModelRef(row.reference_run, row.reference)))
        for row in evidence.differences
    ]
    name = None if champion.problem else champion.name
    return replace(evidence, differences=named, champion=name, champion_note=champion.note())


def from_champion(differences: Sequence[RunDifference], champion: Champion) -> list[RunDifference]:
    """Differences among a run's models and the champion of another run as rows: those of the champion are left out."""
    return [
        replace(row, reference=champion.ref.model, reference_run=champion.ref.run_id)
        if row.reference == champion.name
        else row
        for row in differences
        if row.model != champion.name
    ]


def _problem(champion: Config, conf: Config) -> str | None:
    last, days = champion.train_days.last, conf.test_days
    seen = [day for day in days if day <= last]
    if seen:
        return f"it was trained on days up to {last}, so the test days {Days.text(seen)} say nothing of it"
    own, its = named_tasks(conf), named_tasks(champion)
    for name, task in own.items():
        if name not in its or (its[name].expression, its[name].where) != (task.expression, task.where):
            return f"it does not predict {name} as tasks.{name} has it now"
    return None
