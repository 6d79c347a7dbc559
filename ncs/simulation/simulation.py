"""Simulated users respond to rankings: the paper's online test (section 3.2, Table 3).

An arm ranks a visit's candidates by `pCTR * pCVR * length`. Every arm ranks every visit, so that the same days give two
comparisons: the A/B test, in which a user's bucket decides whose ranking counts, and the paired one over all users.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ncs.config import Simulate
from ncs.errors import DataError
from ncs.kinds.arrays import Arrays, stack
from ncs.logs.draws import Floats, Ints, uniform
from ncs.logs.world import World
from ncs.serving import Encoder
from ncs.simulation.past import Past
from ncs.simulation.trial import (
    METRICS,
    Estimate,
    assign_arms,
    assign_buckets,
    bucket_shares,
    paired_difference,
    ratio,
    sample_ratio,
    welch_difference,
)
from ncs.simulation.visits import FIGURES, Visits, draw_visits, respond
from ncs.tasks import CTR, CVR

SAME = "A/A"
"""The first pair again, with users of its own: differences between the two are random."""
ORACLE, RANDOM = "oracle", "random"
"""The ends of the scale: ranked by the truth, ranked at random."""


class Scorer(Protocol):
    """A trained model."""

    def predict(self, ids: NDArray[Any], numbers: NDArray[Any], tasks: Iterable[str]) -> dict[str, Floats]:
        """Ids and numbers in the columns of a layout, [rows, columns] -> the tasks' predictions [rows]."""


@dataclass(frozen=True)
class Arm:
    """A ranking: by a pair of models (pCTR's, pCVR's), or, without a pair, an end of the scale."""

    name: str
    pair: tuple[str, str] | None = None


@dataclass(frozen=True)
class Outcome:
    """An arm's figures up to a day, and its differences from the first arm (None for that one itself)."""

    arm: Arm
    day: int
    users: int
    values: Mapping[str, float]
    """Of the arm's own users."""
    test: Mapping[str, Estimate] | None
    paired: Mapping[str, Estimate] | None


@dataclass(frozen=True)
class Simulation:
    """All outcomes by day and arm; `sample_ratio` is the p value of the users' split over the arms."""

    outcomes: Sequence[Outcome]
    sample_ratio: float

    def final(self) -> list[Outcome]:
        """The outcomes of all days together, by arm."""
        last = max(outcome.day for outcome in self.outcomes)
        return [outcome for outcome in self.outcomes if outcome.day == last]


def make_arms(pairs: Sequence[Sequence[str]]) -> list[Arm]:
    """The configured pairs, A/A, and the two ends."""
    named = [Arm(f"{n}) {click}, {watch}", (click, watch)) for n, (click, watch) in enumerate(pairs, start=1)]
    return [*named, Arm(SAME, named[0].pair), Arm(ORACLE), Arm(RANDOM)]


def simulate(
    world: World,
    conf: Simulate,
    scorers: Mapping[str, Scorer],
    encoder: Encoder,
    days: Iterable[int],
    past: Past | None = None,
) -> Simulation:
    """Simulate the responses of the users of `days` (0 is the day after the logs' end) to every arm.

    `past`: statistics and histories, if the models have any.
    """
    arms = make_arms(conf.pairs)
    users = np.arange(world.n_users)
    bucket = assign_buckets(users, conf.buckets, conf.seed)
    assigned = assign_arms(conf.buckets, len(arms), conf.seed)
    seen = np.zeros(world.n_users, bool)  # has visited
    sums = {arm: {figure: np.zeros(conf.buckets) for figure in FIGURES} for arm in arms}
    outcomes: list[Outcome] = []
    for day in days:
        visits = draw_visits(world, conf, day)
        seen[visits.users] = True
        ranks = _ranks(world, conf, visits, arms, scorers, _inputs(world, visits, encoder, past))
        for arm in arms:
            for figure, values in respond(world, visits, ranks[arm], conf.top).items():
                np.add.at(sums[arm][figure], bucket[visits.users], values)
        counts = np.bincount(assigned[bucket[seen]], minlength=len(arms))
        outcomes += _outcomes(arms, assigned, sums, day, counts)
    split = [outcome.users for outcome in outcomes[-len(arms) :]]
    return Simulation(outcomes, sample_ratio(split, bucket_shares(assigned, len(arms))))


def _ranks(
    world: World,
    conf: Simulate,
    visits: Visits,
    arms: Sequence[Arm],
    scorers: Mapping[str, Scorer],
    inputs: Arrays,
) -> dict[Arm, Floats]:
    """Each arm's score of each candidate [visits, candidates]."""
    shape = visits.candidates.shape
    length = world.videos(np.arange(world.n_videos))["length_seconds"][visits.candidates]
    requested: dict[str, set[str]] = {}  # predictions take nearly all of the time: only those that an arm needs
    for click, watch in (arm.pair for arm in arms if arm.pair):
        requested.setdefault(click, set()).add(CTR)
        requested.setdefault(watch, set()).add(CVR)
    predicted = {
        model: {task: values.reshape(shape) for task, values in scorers[model].predict(*inputs, sorted(tasks)).items()}
        for model, tasks in requested.items()
    }
    truth = world.truth(visits.shown(visits.candidates, np.ones(1, np.int64)))
    at_random = uniform(conf.seed, "random", visits.first + np.arange(shape[0])[:, None], visits.candidates)
    scores: dict[Arm, Floats] = {}
    for arm in arms:
        if arm.pair:
            click, watch = arm.pair
            scores[arm] = predicted[click][CTR] * predicted[watch][CVR] * length
        elif arm.name == ORACLE:
            scores[arm] = (truth["click_probability"] * truth["expected_cvr"]).reshape(shape) * length
        else:
            scores[arm] = at_random
    return scores


def _inputs(world: World, visits: Visits, encoder: Encoder, past: Past | None) -> Arrays:
    """The candidates' encoded features, [visits * candidates] rows."""
    count, flat = visits.candidates.shape[1], visits.candidates.ravel()
    columns = {**world.users(visits.users), **visits.context, "position": np.ones(len(visits.users), np.int64)}
    videos = world.videos(np.arange(world.n_videos))
    raw = {name: np.repeat(values, count) for name, values in columns.items()}
    raw = {**{name: values[flat] for name, values in videos.items()}, **raw}
    known = past.statistics(raw) if past else {}
    latest = past.histories(visits.users) if past else {}
    check_features(encoder.fields, {**columns, **videos, **known, **latest})
    by_visit, by_video = encoder.encode({**columns, **latest}), encoder.encode(videos)
    encoded = {
        **{name: values[flat] for name, values in by_video.items()},
        **{name: np.repeat(values, count, axis=0) for name, values in by_visit.items()},
        **encoder.encode(known),
    }
    return stack(encoder.layout, encoded, len(flat))


def check_features(features: Iterable[str], columns: Collection[str]) -> None:
    """Raise DataError for a feature that is not among the columns of the synthetic world."""
    for name in features:
        if name not in columns:
            raise DataError(
                f"fields.{name}: the synthetic world has no such column, so no visit can be scored; it has "
                f"{', '.join(sorted(columns))}"
            )


def _outcomes(
    arms: Sequence[Arm],
    assigned: Ints,
    sums: Mapping[Arm, Mapping[str, Floats]],
    day: int,
    users: Ints,
) -> list[Outcome]:
    outcomes = []
    for n, arm in enumerate(arms):
        own_buckets, first_buckets = assigned == n, assigned == 0
        values: dict[str, float] = {}
        test: dict[str, Estimate] = {}
        paired: dict[str, Estimate] = {}
        for metric, (numerator, denominator) in METRICS.items():
            all_sums, base_sums = ((sums[one_arm][numerator], sums[one_arm][denominator]) for one_arm in (arm, arms[0]))
            own = (all_sums[0][own_buckets], all_sums[1][own_buckets])
            if own[1].any():  # otherwise the arm has no such figure yet
                values[metric] = ratio(*own)[0]
            if n:
                tested = welch_difference(own, (base_sums[0][first_buckets], base_sums[1][first_buckets]))
                compared = paired_difference(all_sums, base_sums)
                test |= {metric: tested} if tested else {}
                paired |= {metric: compared} if compared else {}
        outcomes.append(Outcome(arm, day + 1, int(users[n]), values, test or None, paired or None))
    return outcomes
