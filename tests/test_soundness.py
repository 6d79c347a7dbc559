"""The judgement of a trained task."""

import pytest

from ncs.soundness import Soundness, judge, judge_figure, unsound
from ncs.tasks import named_tasks
from tests.factories import toy_conf

TASKS = named_tasks(toy_conf())


@pytest.mark.parametrize(
    ("skill", "span", "expected"),
    [
        (0.3, (0.1, 0.9), Soundness.SOUND),
        (0.3, (0.4, 0.4), Soundness.CONSTANT),
        (0.0, (0.1, 0.9), Soundness.CHANCE),
        (1.0, (0.1, 0.9), Soundness.PERFECT),
        (-1.0, (0.1, 0.9), Soundness.PERFECT),
        (-0.2, (0.1, 0.9), Soundness.SOUND),
        (0.9999, (0.1, 0.9), Soundness.SOUND),
    ],
)
def test_exactly_one_value_chance_and_perfect_are_named(
    skill: float, span: tuple[float, float], expected: Soundness
) -> None:
    assert judge(skill, *span) == expected


def test_a_figure_alone_tells_chance_and_perfect() -> None:
    assert [judge_figure(TASKS["ctr"], auc) for auc in (0.5, 1.0, 0.0, 0.7)] == [
        Soundness.CHANCE, Soundness.PERFECT, Soundness.PERFECT, Soundness.SOUND,
    ]  # fmt: skip
    assert [judge_figure(TASKS["cvr"], mse) for mse in (0.0, 0.1)] == [Soundness.PERFECT, Soundness.SOUND]


def test_facts_of_an_earlier_version_say_nothing() -> None:
    assert not list(unsound(None, ["ctr"]))
    assert not list(unsound({"skill": 1.0}, ["ctr"]))
    assert [task for task, _ in unsound({"tasks": {"ctr": {"soundness": "constant"}}}, ["ctr", "cvr"])] == ["ctr"]
