"""Which model to use, how sure that is, and what to do next: from paired differences alone.

The report, `ncs run`, `ncs compare` and their pages all print the verdict that is made here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ncs.lake.tables.rows import Difference, SeedDifference
from ncs.metrics import METRICS
from ncs.tasks import Task, in_order

SEEDS = 5
"""Training seeds that a comparison is advised to have."""
_LISTED = 5
"""The most models that an advised command names; of more, all are compared."""


class Tone(StrEnum):
    """The meaning of a difference for its model; also the CSS class on a page."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "open"
    """Not settled."""


@dataclass(frozen=True)
class Finding:
    """A model compared with a reference in one task."""

    model: str
    reference: str
    title: str
    """Of the metric, e.g. `CVR MSE`."""
    text: str
    tone: Tone


@dataclass(frozen=True)
class Verdict:
    """The conclusion of a comparison."""

    recommended: str | None
    """The model to use; None where no model of the comparison may be used."""
    baseline: str | None
    """The model that it is recommended over; None where there is no other sound model."""
    settled: bool
    """Whether a difference from the baseline decided it; otherwise the baseline stays for want of a better model."""
    headline: str
    findings: Sequence[Finding]
    notes: Sequence[str]
    confidence: str
    next_step: str
    command: str | None

    def lines(self) -> list[str]:
        """The verdict for a terminal."""
        width = max((len(finding.title) for finding in self.findings), default=0)
        lines = [f"verdict: {self.headline}"]
        several = len({finding.model for finding in self.findings}) > 1
        lines += [
            f"  {finding.title:{width}}  {f'{finding.model}: ' if several else ''}{finding.text}"
            for finding in self.findings
        ]
        lines += [f"  {note}" for note in self.notes]
        lines += [f"how sure: {self.confidence}"] if self.confidence else []
        command = f": {self.command}" if self.command else ""
        return [*lines, f"next: {self.next_step}{command}"]


@dataclass(frozen=True)
class Evidence:
    """The evidence for a verdict.

    Differences are of every model from every other, in the metric that the task is judged by; others are passed over.
    """

    models: Sequence[str]
    differences: Sequence[Difference]
    tasks: Sequence[Task]
    baseline: str
    rows: int
    """Test impressions that the models were compared on."""
    seeds: int = 1
    """Training seeds that the differences are means over."""
    unsound: Mapping[str, str] | None = None
    """Model -> why its figures are no result."""
    champion: str | None = None
    """The model in service, where it is another than the baseline: reported beside it, decides nothing.

    Of another run than the models it is called `RUN_ID/MODEL`.
    """
    champion_note: str | None = None
    """Why nothing is said of the model in service, where there is one."""

    @property
    def sound(self) -> list[str]:
        """The models that may be recommended."""
        return [model for model in self.models if model not in (self.unsound or {})]

    def against(self, model: str, reference: str) -> list[tuple[Task, Difference]]:
        """A model's differences from a reference, by task in the order of Table 2."""
        mine = [row for row in self.differences if (row.model, row.reference) == (model, reference)]
        by_metric = {(row.task, row.metric): row for row in mine}
        order = [(task, by_metric.get((task.name, task.metric))) for task in in_order(self.tasks)]
        return [(task, row) for task, row in order if row is not None]

    def wins(self, model: str, reference: str) -> int:
        """The number of tasks in which a model is better."""
        return sum(row.better is True for _, row in self.against(model, reference))

    def losses(self, model: str, reference: str) -> int:
        """The number of tasks in which a model is worse."""
        return sum(row.better is False for _, row in self.against(model, reference))

    def gain(self, model: str, reference: str) -> float:
        """The sum of a model's relative gains over the tasks, settled or not."""
        return sum(oriented(row, row.relative or 0.0) for _, row in self.against(model, reference))


def choose_baseline(models: Sequence[str], references: Iterable[str]) -> str:
    """The first of the references that is among the models, or the first model."""
    return next((name for name in references if name in models), models[0])


def verdict(evidence: Evidence) -> Verdict:
    """The verdict.

    A model is recommended over the baseline if it is better in a task, and worse in none, by settled differences. Of
    several, the one that is better in most tasks; then the one whose relative gains add up to most. A model
    whose figures are no result is never recommended, and nothing is compared with it.
    """
    sound = evidence.sound
    notes = [f"{model} may not be used: {why}" for model, why in (evidence.unsound or {}).items()]
    notes += [evidence.champion_note] if evidence.champion_note else []
    if len(sound) < 2:
        return _without_comparison(evidence, sound, notes)
    base = evidence.baseline if evidence.baseline in sound else sound[0]
    others = [model for model in sound if model != base]
    winners = [model for model in others if evidence.wins(model, base)]
    clear = [model for model in winners if not evidence.losses(model, base)]
    notes = [*(_trade_off(evidence, model, base) for model in winners if model not in clear), *notes]
    if not clear:
        return _keep(evidence, base, others, notes)
    best = max(clear, key=lambda model: (evidence.wins(model, base), evidence.gain(model, base)))
    level = [model for model in clear if model != best and not evidence.wins(best, model)]
    if level:
        notes = [f"not settled against {_listed(level)}, also better than {base}", *notes]
    headline = f"use {best} instead of {base}"
    findings = [*_findings(evidence, best, base), *_beside_champion(evidence, best)]
    step, command = _next(evidence, base, [best, *level], best)
    return Verdict(best, base, True, headline, findings, notes, _confidence(evidence), step, command)


def finding(task: Task, row: Difference, reference: str | None = None) -> Finding:
    """A difference in words: by how much a model is better or worse, or between which ends that is open.

    `reference`: what the reference is called in them, by default its name.
    """
    low, high = sorted((oriented(row, row.low), oriented(row, row.high)))
    if row.better is None:
        text, tone = f"not settled: {_side(low)} to {_side(high)}", Tone.OPEN
        text += " if it alone is looked at" if low > 0 or high < 0 else ""
    else:
        tone = Tone.BETTER if row.better else Tone.WORSE
        near, far = sorted((abs(low), abs(high)))
        text = f"{tone} by {abs(row.difference):.5f} ({near:.5f} to {far:.5f})"
    called = reference or row.reference
    against = f" than {called}" if row.better is not None else f", against {called}"
    return Finding(row.model, row.reference, task.title, text + against, tone)


def oriented(row: Difference, value: float) -> float:
    """A value of a difference with the sign that all pages print: more is better."""
    return value if METRICS[row.metric].more_is_better else -value


def _side(value: float) -> str:
    return f"{abs(value):.5f} {'better' if value >= 0 else 'worse'}"


def _findings(evidence: Evidence, model: str, reference: str) -> list[Finding]:
    return [finding(task, row) for task, row in evidence.against(model, reference)]


def _beside_champion(evidence: Evidence, model: str) -> list[Finding]:
    """A model beside the one in service, unless it is that one or the baseline, whose findings are there."""
    champion = evidence.champion
    if champion is None or champion in (model, evidence.baseline):
        return []
    return [finding(task, row, f"the champion {champion}") for task, row in evidence.against(model, champion)]


def _trade_off(evidence: Evidence, model: str, base: str) -> str:
    against = evidence.against(model, base)
    better, worse = ([task.title for task, row in against if row.better is side] for side in (True, False))
    return f"{model} is better on {_listed(better)} but worse on {_listed(worse)} than {base}: a trade-off"


def _without_comparison(evidence: Evidence, sound: Sequence[str], notes: Sequence[str]) -> Verdict:
    """None of the models may be used, or one alone."""
    if not sound:
        step = "find out why they fail, then train again"
        return Verdict(None, None, False, "use none of these models", [], notes, "", step, None)
    alone = "it is the only model" if len(evidence.models) == 1 else "it is the only one whose figures are a result"
    step, command = "compare it with others", f"ncs compare --models all --seeds {SEEDS}"
    headline, findings = f"{sound[0]}, for {alone}", _beside_champion(evidence, sound[0])
    sure = _confidence(evidence) if findings else "nothing was compared"
    return Verdict(sound[0], None, False, headline, findings, notes, sure, step, command)


def _keep(evidence: Evidence, base: str, others: Sequence[str], notes: Sequence[str]) -> Verdict:
    """No model is better without being worse: the baseline stays; the nearest of the others is shown."""
    nearest = max(others, key=lambda model: (-evidence.losses(model, base), evidence.gain(model, base)))
    findings = [*_findings(evidence, nearest, base), *_beside_champion(evidence, base)]
    step, command = _next(evidence, base, others, None)
    headline = f"keep {base}, no other model is settled to be better"
    if any(evidence.wins(model, base) for model in others):
        headline = f"keep {base}, what is better on one task is worse on another"
        if evidence.seeds > 1:
            step, command = "let a ranking weigh both tasks (real logs: ncs offpolicy)", "ncs simulate"
    return Verdict(base, base, False, headline, findings, notes, _confidence(evidence), step, command)


def _confidence(evidence: Evidence) -> str:
    over = f"{evidence.rows:,} test impressions"
    if evidence.seeds == 1:
        return f"over {over}, with one training seed: another seed may change it"
    return f"over {evidence.seeds} training seeds and {over}"


def _next(evidence: Evidence, base: str, others: Sequence[str], best: str | None) -> tuple[str, str | None]:
    """The next step and its command: seeds first; then `best` is exported, or what widens the intervals is added to."""
    listed = ",".join([base, *others]) if len(others) < _LISTED else "all"
    if evidence.seeds == 1:
        return "train several seeds", f"ncs compare --models {listed} --seeds {SEEDS}"
    if best:
        step = f"train it on the newest days, then export it (ncs export --model {best})"
        return step, f"ncs run --set 'train.models=[{base},{best}]'"
    if _seeds_are_wider(evidence, base):
        step = "train more seeds, which vary more than the rows do"
        return step, f"ncs compare --models {listed} --seeds {2 * evidence.seeds}"
    return "test on more days (split.test_days), for the rows vary more than the seeds do", None


def _seeds_are_wider(evidence: Evidence, base: str) -> bool:
    """Whether the seeds, not the test rows, make most of the intervals wide."""
    rows = [row for row in evidence.differences if isinstance(row, SeedDifference) and row.reference == base]
    return sum(row.seeds_high - row.seeds_low > row.rows_high - row.rows_low for row in rows) * 2 > len(rows)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
