"""The tasks that are learnt together: what a label is, where it stands, how it is learnt and judged."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ncs.config import Config
from ncs.config.checks import KEYS
from ncs.config.expressions import parse_expression
from ncs.metrics import METRICS, Kind, Metric

CTR, CVR = "ctr", "cvr"
"""The tasks that are always there: clicked or not; the share that was watched of what was clicked."""

WORLD_TRUTH = ("click_probability", "expected_cvr")
"""The expectations of a synthetic world for an impression: of a click; of the CVR label if it is clicked."""
_OF_WORLDS = [(CTR, "clicked", "NOT (clicked) IS NULL"), (CVR, "cvr", "NOT (cvr) IS NULL")]
"""Task, label and condition that a synthetic world knows the truth of."""


@dataclass(frozen=True)
class Task:
    """One task. Its samples are the rows of `table`; its label, within [0, 1], is their column `label`.

    The samples of a task hold the labels of the others too, NaN where a row has none.
    """

    name: str
    label: str
    expression: str
    where: str
    loss: Literal["cross_entropy", "squared_error", "focal"]
    weight: float
    metric: str

    @property
    def table(self) -> str:
        """The table of its samples."""
        return f"gold/{self.name}_samples"

    @property
    def prediction(self) -> str:
        """The column of its predictions."""
        return f"p{self.name}"

    @property
    def score(self) -> str:
        """The validation figure's name, e.g. `ctr_auc`."""
        return f"{self.name}_{self.metric}"

    @property
    def title(self) -> str:
        """The figure's name for people, e.g. `CTR AUC`."""
        return f"{self.name.upper()} {self.measure.title}"

    @property
    def measure(self) -> Metric:
        """The metric that it is trained and compared by."""
        return METRICS[self.metric]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of labels that apply to it."""
        return [metric for metric in self._applying if not metric.of_truth]

    @property
    def truth_metrics(self) -> list[Metric]:
        """The metrics that compare its predictions with a synthetic world's expectation, where that is known."""
        known = (self.name, self.expression, self.where) in _OF_WORLDS  # another label has no known truth
        return [metric for metric in self._applying if metric.of_truth and known]

    @property
    def _applying(self) -> list[Metric]:
        kinds = {self.measure.judges, *([Kind(self.name)] if self.name in (CTR, CVR) else [])}
        return [metric for metric in METRICS.values() if kinds & metric.kinds]


def named_tasks(conf: Config) -> dict[str, Task]:
    """The configured tasks by name."""
    tasks: dict[str, Task] = {}
    taken = {*KEYS, *conf.features}
    for name, own in conf.tasks.items():
        # A label that is computed, or whose column has another meaning already, is kept under the task's own name.
        label = own.label if own.label.isidentifier() and own.label not in taken else name
        taken.add(label)
        # What runs is what was checked: rendered from the parsed expression, wherever the text comes from.
        expression, where = (parse_expression(text).sql for text in (own.label, own.condition))
        tasks[name] = Task(name, label, expression, where, loss=own.loss, weight=own.weight, metric=own.metric)
    return tasks


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """CVR and CTR first, as the paper's Table 2 has them, then the further tasks."""
    first = (CVR, CTR)
    return sorted(tasks, key=lambda task: first.index(task.name) if task.name in first else len(first))
