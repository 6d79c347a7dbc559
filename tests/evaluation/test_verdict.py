"""The verdict, on planted differences: settled, open, conflicting, of one model, of models that are no result."""

from collections.abc import Mapping

import pytest

from ncs.evaluation.verdict import Evidence, Tone, Verdict, choose_baseline, finding, verdict
from ncs.lake.tables.rows import Difference, SeedDifference
from ncs.tasks import named_tasks
from tests.factories import toy_conf

TASKS = list(named_tasks(toy_conf()).values())
BASE, HALF = "single_task", 0.0005
Gains = tuple[float, float]
"""By how much a model is better than the baseline: in CVR MSE, in CTR AUC."""


def planted(gains: Mapping[str, Gains], seeds_half: float | None = None, half: float = HALF) -> list[Difference]:
    """Differences of all models from each other; intervals reach `half` to each side."""
    every = {BASE: (0.0, 0.0), **gains}
    found: list[Difference] = []
    for model in every:
        for reference in every:
            if model == reference:
                continue
            for n, (task, metric, sign) in enumerate((("cvr", "mse", -1), ("ctr", "auc", 1))):
                gain = every[model][n] - every[reference][n]
                better = None if abs(gain) < half else gain > 0
                value = sign * gain
                common = (model, reference, task, metric, value, value / 0.5, value - half, value + half, better)
                if seeds_half is None:
                    found.append(Difference(*common))
                else:
                    ends = (value - seeds_half, value + seeds_half, value - half, value + half)
                    found.append(SeedDifference(*common, *ends))
    return found


def judged(gains: Mapping[str, Gains], seeds: int = 1, seeds_half: float | None = None, **more: object) -> Verdict:
    evidence = Evidence([BASE, *gains], planted(gains, seeds_half), TASKS, BASE, 4321, seeds, **more)  # type: ignore[arg-type]
    return verdict(evidence)


def test_a_settled_model_is_recommended_with_its_interval_and_the_next_command() -> None:
    found = judged({"layer_share": (0.0012, 0.0001), "connection_share": (0.0018, -0.0002)})
    assert (found.recommended, found.baseline, found.settled) == ("connection_share", BASE, True)
    assert found.lines() == [
        "verdict: use connection_share instead of single_task",
        "  CVR MSE  better by 0.00180 (0.00130 to 0.00230) than single_task",
        "  CTR AUC  not settled: 0.00070 worse to 0.00030 better, against single_task",
        "how sure: over 4,321 test impressions, with one training seed: another seed may change it",
        "next: train several seeds: ncs compare --models single_task,connection_share --seeds 5",
    ]
    assert [one.tone for one in found.findings] == [Tone.BETTER, Tone.OPEN]


def test_models_that_the_rows_do_not_tell_apart_are_all_named() -> None:
    found = judged({"layer_share": (0.0015, 0.0), "connection_share": (0.0018, 0.0)})
    assert found.notes == ["not settled against layer_share, also better than single_task"]
    assert found.command == "ncs compare --models single_task,connection_share,layer_share --seeds 5"


def test_more_tasks_come_before_a_larger_gain_in_one() -> None:
    assert judged({"a": (0.01, 0.0), "b": (0.001, 0.001)}).recommended == "b"


def test_nothing_settled_keeps_the_baseline() -> None:
    found = judged({"a": (0.0004, -0.0001), "b": (-0.0002, 0.0003)})
    assert (found.recommended, found.settled) == (BASE, False)
    assert found.headline == "keep single_task, no other model is settled to be better"
    assert {one.tone for one in found.findings} == {Tone.OPEN}
    assert found.findings[0].model == "a", "the one whose gains add up to most"
    assert found.command == "ncs compare --models single_task,a,b --seeds 5"


def test_a_model_that_is_better_on_one_task_and_worse_on_the_other_is_a_trade_off() -> None:
    found = judged({"a": (0.003, -0.002)})
    assert (found.recommended, found.settled) == (BASE, False)
    assert found.headline == "keep single_task, what is better on one task is worse on another"
    assert found.notes == ["a is better on CVR MSE but worse on CTR AUC than single_task: a trade-off"]
    assert [one.tone for one in found.findings] == [Tone.BETTER, Tone.WORSE]
    assert found.findings[1].text == "worse by 0.00200 (0.00150 to 0.00250) than single_task"
    assert judged({"a": (0.003, -0.002)}, seeds=5, seeds_half=0.0001).command == "ncs simulate"
    beside = judged({"a": (0.003, -0.002), "b": (0.001, 0.0)})
    assert beside.recommended == "b", "worse on none comes before better by more"


def test_a_worse_model_is_not_recommended() -> None:
    assert judged({"a": (-0.003, -0.002)}).recommended == BASE


@pytest.mark.parametrize(
    ("models", "headline"), [(["a"], "a, for it is the only model"), (["a", "b"], "a, for it is the only one")]
)
def test_a_single_model_is_compared_with_nothing(models: list[str], headline: str) -> None:
    unsound = {"b": "CTR: all predictions are one value"} if "b" in models else {}
    found = verdict(Evidence(models, [], TASKS, "a", 100, unsound=unsound))
    assert (found.recommended, found.baseline, found.settled) == ("a", None, False)
    assert found.headline.startswith(headline)
    assert found.command == "ncs compare --models all --seeds 5"


def test_a_model_that_is_no_result_is_never_recommended() -> None:
    gains = {"leaks": (0.1, 0.2), "b": (0.001, 0.0)}
    found = judged(gains, unsound={"leaks": "CTR: its figure is exactly perfect"})
    assert found.recommended == "b"
    assert found.notes == ["leaks may not be used: CTR: its figure is exactly perfect"]
    assert "leaks" not in str(found.command)
    without_base = judged(gains, unsound={BASE: "x"})
    assert (without_base.recommended, without_base.baseline) == ("leaks", "b") or without_base.baseline == "leaks"
    nothing = judged(gains, unsound=dict.fromkeys([BASE, *gains], "x"))
    assert (nothing.recommended, nothing.command) == (None, None)


def test_over_seeds_the_next_step_is_what_widens_the_intervals() -> None:
    settled = judged({"a": (0.002, 0.0)}, seeds=5, seeds_half=0.0001)
    assert settled.confidence == "over 5 training seeds and 4,321 test impressions"
    assert settled.command == "ncs run --set 'train.models=[single_task,a]'"
    assert "ncs export --model a" in settled.next_step
    more_seeds = judged({"a": (0.0001, 0.0)}, seeds=5, seeds_half=0.01)
    assert more_seeds.command == "ncs compare --models single_task,a --seeds 10"
    more_rows = judged({"a": (0.0001, 0.0)}, seeds=5, seeds_half=0.00001)
    assert (more_rows.command, "split.test_days" in more_rows.next_step) == (None, True)


CHAMPION = "toy-0/single_task"


def test_the_champion_is_reported_and_decides_nothing() -> None:
    found = judged({"a": (0.002, 0.0), CHAMPION: (0.003, -0.003)}, champion=CHAMPION, unsound={CHAMPION: "not of it"})
    assert (found.recommended, found.settled) == ("a", True)
    assert [(one.reference, one.title, one.tone) for one in found.findings] == [
        (BASE, "CVR MSE", Tone.BETTER),
        (BASE, "CTR AUC", Tone.OPEN),
        (CHAMPION, "CVR MSE", Tone.WORSE),
        (CHAMPION, "CTR AUC", Tone.BETTER),
    ]
    assert "  CTR AUC  better by 0.00300 (0.00250 to 0.00350) than the champion toy-0/single_task" in found.lines()


def test_of_a_baseline_that_stays_the_lines_name_the_models() -> None:
    found = judged({"a": (0.0001, 0.0), CHAMPION: (-0.001, 0.0)}, champion=CHAMPION, unsound={CHAMPION: "not of it"})
    assert found.recommended == BASE
    assert found.lines()[1:4] == [
        "  CVR MSE  a: not settled: 0.00040 worse to 0.00060 better, against single_task",
        "  CTR AUC  a: not settled: 0.00050 worse to 0.00050 better, against single_task",
        "  CVR MSE  single_task: better by 0.00100 (0.00050 to 0.00150) than the champion toy-0/single_task",
    ]


def test_a_champion_that_is_recommended_or_the_baseline_is_compared_once() -> None:
    assert {one.reference for one in judged({"a": (0.002, 0.0)}, champion="a").findings} == {BASE}
    assert len(judged({"a": (0.002, 0.0)}, champion=BASE).findings) == 2
    noted = judged({"a": (0.002, 0.0)}, champion_note="not compared with the champion, x/y: it is gone")
    assert "  not compared with the champion, x/y: it is gone" in noted.lines()


def test_a_single_model_is_compared_with_the_champion() -> None:
    differences = [one for one in planted({"a": (0.001, 0.0), CHAMPION: (0.0, 0.0)}) if one.model == "a"]
    found = verdict(Evidence(["a"], differences, TASKS, "a", 100, champion=CHAMPION))
    assert [one.text for one in found.findings][:1] == [
        "better by 0.00100 (0.00050 to 0.00150) than the champion toy-0/single_task"
    ]
    assert found.confidence.startswith("over 100 test impressions")


def test_less_is_better_turns_an_interval_round() -> None:
    task = next(task for task in TASKS if task.name == "cvr")
    one = Difference("a", "b", "cvr", "mse", 0.0003, 0.1, -0.0001, 0.0007, None)
    assert finding(task, one).text == "not settled: 0.00070 worse to 0.00010 better, against b"


def test_what_is_not_settled_among_many_says_what_it_is_alone() -> None:
    task = next(task for task in TASKS if task.name == "cvr")
    one = Difference("a", "b", "cvr", "mse", -0.0003, 0.1, -0.0005, -0.0001, None)
    said = "not settled: 0.00010 better to 0.00050 better if it alone is looked at, against b"
    assert (finding(task, one).text, finding(task, one).tone) == (said, Tone.OPEN)


def test_the_baseline_is_the_first_reference_that_is_there() -> None:
    assert choose_baseline(["a", "b"], ["x", "b", "a"]) == "b"
    assert choose_baseline(["a", "b"], ["x"]) == "a"
