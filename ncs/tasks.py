"""The tasks that are learnt together: what a label is, where it stands, how it is learnt and judged."""

from dataclasses import dataclass
from typing import Literal

from ncs.lake import layout


@dataclass(frozen=True)
class Task:
    """One task. Its samples are the rows of `table`; `label` is within [0, 1]."""

    name: str
    table: str
    label: str
    loss: Literal["cross_entropy", "squared_error"]
    metric: Literal["auc", "mse"]

    @property
    def score(self) -> str:
        """The validation figure's name, e.g. `ctr_auc`."""
        return f"{self.name}_{self.metric}"

    def better(self, score: float, than: float) -> bool:
        """Whether a validation figure is better than another."""
        return score > than if self.metric == "auc" else score < than


CTR = Task("ctr", layout.CTR_SAMPLES, "clicked", "cross_entropy", "auc")
CVR = Task("cvr", layout.CVR_SAMPLES, "cvr", "squared_error", "mse")
TASKS = {task.name: task for task in (CTR, CVR)}
