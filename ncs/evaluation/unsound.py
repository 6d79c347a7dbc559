"""Which models of a run are no result, on validation or test rows, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncs.lake.tables.rows import Figure
from ncs.soundness import WORDS, Soundness, judge_figure, unsound
from ncs.tasks import Task


def unsound_models(
    figures: Sequence[Figure], facts: Mapping[str, Mapping[str, Any] | None], tasks: Sequence[Task]
) -> dict[str, str]:
    """Model -> why its figures are no result, task by task; a model that is not there may be used.

    Args:
        figures: on the test rows.
        facts: model -> its `facts.json`, or None for a model of a version without facts.
        tasks: those that the models are judged on.
    """
    by_key = {(one.model, one.task, one.metric): one for one in figures}
    found: dict[str, dict[str, str]] = {}
    for model, of_model in facts.items():
        why = {
            name: f"{text}, on the validation rows" for name, text in unsound(of_model, [task.name for task in tasks])
        }
        for task in tasks:
            figure = by_key.get((model, task.name, task.metric))
            judged = judge_figure(task, figure.value) if figure else Soundness.SOUND
            if judged != Soundness.SOUND:
                why.setdefault(task.name, f"{WORDS[judged]}, on the test rows")
        if why:
            found[model] = why
    return {model: "; ".join(f"{name.upper()}: {text}" for name, text in why.items()) for model, why in found.items()}
