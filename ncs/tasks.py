"""The tasks that are learnt together: what a label is, where it stands, how it is learnt and judged."""

from dataclasses import dataclass
from typing import Literal

from ncs.config import Config

CTR, CVR = "ctr", "cvr"
"""The tasks that are always there: clicked or not; the share that was watched of what was clicked."""


@dataclass(frozen=True)
class Task:
    """One task. Its samples are the rows of `table`; its label, within [0, 1], is their column `label`.

    The samples of a task hold the labels of the others too, NaN where a row has none.
    """

    name: str
    label: str
    expression: str
    where: str
    loss: Literal["cross_entropy", "squared_error"]
    weight: float
    metric: Literal["auc", "mse"]

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

    def better(self, score: float, than: float) -> bool:
        """Whether a validation figure is better than another."""
        return score > than if self.metric == "auc" else score < than


def tasks_of(conf: Config) -> dict[str, Task]:
    """The configured tasks by name."""
    return {
        name: Task(
            name,
            # A label that is computed is kept under the task's own name.
            label=one.label if one.label.isidentifier() else name,
            expression=one.label,
            where=one.where or f"({one.label}) IS NOT NULL",
            loss=one.loss,
            weight=one.weight,
            metric=one.metric,
        )
        for name, one in conf.tasks.items()
    }
