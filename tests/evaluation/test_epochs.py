"""The epochs that final weights have seen: theta included, up to the chosen one; and who was stopped by the cap."""

from typing import Any

from ncs.evaluation.comparison import Compared, caps
from ncs.evaluation.trained import Budget, budgets, in_words, unequal
from tests.factories import toy_conf

CONF = toy_conf("train.epochs=4", "train.patience=2")


def line(phase: str, epoch: int, auc: float | None, mse: float | None, samples: int = 100) -> dict[str, Any]:
    scores = {"ctr_auc": auc, "cvr_mse": mse}
    validation = {name: score for name, score in scores.items() if score is not None}
    loss = {name.partition("_")[0]: 0.5 for name in validation}
    return {"phase": phase, "epoch": epoch, "loss": loss, "validation": validation, "samples": samples}


def test_each_task_has_seen_theta_and_its_own_best_epoch() -> None:
    joint = [line("joint", 1, 0.70, 0.10), line("joint", 2, 0.72, 0.12), line("joint", 3, 0.72, 0.11)]
    theta = line("theta", 1, 0.6, 0.2, samples=25)
    search = line("search", 1, 0.6, None)
    assert budgets([theta, search, *joint], CONF) == {"cvr": Budget(1.25, False), "ctr": Budget(2.25, False)}
    assert budgets(joint, CONF) == {"cvr": Budget(1, False), "ctr": Budget(2, False)}


def test_who_still_got_better_at_the_cap_was_stopped_by_it() -> None:
    rising = [line("joint", n, 0.7 + n / 100, 0.2) for n in (1, 2, 3, 4)]
    assert budgets(rising, CONF) == {"cvr": Budget(1, True), "ctr": Budget(4, True)}, "they train together"
    falling = [line("joint", n, 0.7 + 0.01 * (n == 2), 0.2) for n in (1, 2, 3, 4)]
    assert [one.capped for one in budgets(falling, CONF).values()] == [False, False], "patience ends it there too"
    each = [
        *(line("joint", n, 0.7 + n / 100, None) for n in (1, 2, 3, 4)),
        *(line("joint", n, None, n) for n in (1, 2)),
    ]
    assert budgets(each, CONF) == {"cvr": Budget(1, False), "ctr": Budget(4, True)}, "a net for each task"


def test_trees_are_not_trained_in_epochs() -> None:
    assert budgets([line("joint", 1, 0.7, None) | {"loss": {}}], CONF) == {}


def test_unequal_budgets_are_said_in_words() -> None:
    found = {"a": {"cvr": Budget(2, False)}, "b": {"cvr": Budget(2.25, True)}, "gbdt": {}}
    assert unequal(found)
    assert not unequal({"a": found["a"], "c": found["a"], "gbdt": {}})
    assert in_words(found) == "a CVR 2; b CVR 2.25"


def test_a_comparison_warns_of_the_cap_and_counts_by_task() -> None:
    seeds = [{"cvr": Budget(2, False), "ctr": Budget(4, True)}, {"cvr": Budget(3, False), "ctr": Budget(4, False)}]
    capped = Compared("a", {}, [{}, {}], seeds)
    assert capped.epochs == {"cvr": 2.5, "ctr": 4.0}
    assert "more epochs may change their figures: a (1 of 2 seeds)" in caps([capped, Compared("b", {}, [{}])])
    assert caps([Compared("b", {}, [{}])]) == ""
