"""Rankings that users of the synthetic world answer to: the paper's online test (section 3.2, Table 3).

An arm ranks a visit's candidates by `pCTR * pCVR * length`. Every arm is asked on every visit, so that there are two
readings of the same days: the A/B test, in which a user's bucket decides which arm's ranking counts, and the paired one
over all users.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ncs.config import Simulate
from ncs.logs.draws import Floats, Ints, uniform
from ncs.logs.world import World
from ncs.simulation.encoding import Encoder
from ncs.simulation.trial import (
    METRICS,
    Estimate,
    arm_of,
    between,
    bucket_of,
    bucket_shares,
    ratio,
    sample_ratio,
    within,
)
from ncs.simulation.visits import FIGURES, Visits, answers, visits_of
from ncs.tasks import CTR, CVR

SAME = "A/A"
"""The first pair again, with users of its own: what differs from it differs by chance."""
ORACLE, RANDOM = "oracle", "random"
"""The ends of the scale: ranked by the truth, ranked by chance."""


class Scorer(Protocol):
    """A trained model."""

    def predict(self, ids: NDArray[Any], tasks: Iterable[str]) -> dict[str, Floats]:
        """Ids [rows, fields] -> the tasks' predictions [rows]."""


@dataclass(frozen=True)
class Arm:
    """What ranks: a pair of models (pCTR's, pCVR's), or, without one, an end of the scale."""

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
        last = max(one.day for one in self.outcomes)
        return [one for one in self.outcomes if one.day == last]


def arms_of(pairs: Sequence[Sequence[str]]) -> list[Arm]:
    """The configured pairs, A/A, and the two ends."""
    named = [Arm(f"{n}) {click}, {watch}", (click, watch)) for n, (click, watch) in enumerate(pairs, start=1)]
    return [*named, Arm(SAME, named[0].pair), Arm(ORACLE), Arm(RANDOM)]


def simulate(
    world: World, wanted: Simulate, scorers: Mapping[str, Scorer], encoder: Encoder, days: Iterable[int]
) -> Simulation:
    """Let the users of `days` (0 is the day after the logs' end) answer to every arm."""
    arms = arms_of(wanted.pairs)
    users = np.arange(world.n_users)
    bucket = bucket_of(users, wanted.buckets, wanted.seed)
    assigned = arm_of(wanted.buckets, len(arms), wanted.seed)
    seen = np.zeros(world.n_users, bool)  # has visited
    sums = {arm: {figure: np.zeros(wanted.buckets) for figure in FIGURES} for arm in arms}
    outcomes: list[Outcome] = []
    for day in days:
        visits = visits_of(world, wanted, day)
        seen[visits.users] = True
        ranks = _ranks(world, wanted, visits, arms, scorers, encoder)
        for arm in arms:
            for figure, values in answers(world, visits, ranks[arm], wanted.top).items():
                np.add.at(sums[arm][figure], bucket[visits.users], values)
        counts = np.bincount(assigned[bucket[seen]], minlength=len(arms))
        outcomes += _outcomes(arms, assigned, sums, day, counts)
    split = [one.users for one in outcomes[-len(arms) :]]
    return Simulation(outcomes, sample_ratio(split, bucket_shares(assigned, len(arms))))


def _ranks(
    world: World,
    wanted: Simulate,
    visits: Visits,
    arms: Sequence[Arm],
    scorers: Mapping[str, Scorer],
    encoder: Encoder,
) -> dict[Arm, Floats]:
    """Each arm's score of each candidate [visits, candidates]."""
    shape = visits.candidates.shape
    length = world.videos(np.arange(world.n_videos))["length_seconds"][visits.candidates]
    ids = _ids(world, visits, encoder)
    wanted_of: dict[str, set[str]] = {}  # nearly all of the time goes into predictions: none that no arm asks for
    for click, watch in (arm.pair for arm in arms if arm.pair):
        wanted_of.setdefault(click, set()).add(CTR)
        wanted_of.setdefault(watch, set()).add(CVR)
    predicted = {
        model: {task: values.reshape(shape) for task, values in scorers[model].predict(ids, sorted(tasks)).items()}
        for model, tasks in wanted_of.items()
    }
    truth = world.truth(visits.shown(visits.candidates, np.ones(1, np.int64)))
    by_chance = uniform(wanted.seed, "random", visits.first + np.arange(shape[0])[:, None], visits.candidates)
    found: dict[Arm, Floats] = {}
    for arm in arms:
        if arm.pair:
            click, watch = arm.pair
            found[arm] = predicted[click][CTR] * predicted[watch][CVR] * length
        elif arm.name == ORACLE:
            found[arm] = (truth["click_probability"] * truth["expected_cvr"]).reshape(shape) * length
        else:
            found[arm] = by_chance
    return found


def _ids(world: World, visits: Visits, encoder: Encoder) -> Ints:
    """The candidates as ids [visits * candidates, fields], in the order of the fields."""
    count = visits.candidates.shape[1]
    columns = {**world.users(visits.users), **visits.context, "position": np.ones(len(visits.users), np.int64)}
    videos = world.videos(np.arange(world.n_videos))
    encoder.check({**columns, **videos})
    of_visits, of_videos = encoder.of_each(columns), encoder.of_each(videos)
    flat = visits.candidates.ravel()
    return np.stack(
        [np.repeat(of_visits[name], count) if name in of_visits else of_videos[name][flat] for name in encoder.fields],
        axis=1,
    )


def _outcomes(
    arms: Sequence[Arm],
    assigned: Ints,
    sums: Mapping[Arm, Mapping[str, Floats]],
    day: int,
    users: Ints,
) -> list[Outcome]:
    found = []
    for n, arm in enumerate(arms):
        mine, first = assigned == n, assigned == 0
        values: dict[str, float] = {}
        test: dict[str, Estimate] = {}
        paired: dict[str, Estimate] = {}
        for metric, (over, under) in METRICS.items():
            here, base = (sums[arm][over], sums[arm][under]), (sums[arms[0]][over], sums[arms[0]][under])
            own = (here[0][mine], here[1][mine])
            if own[1].any():  # otherwise the arm has no such figure yet
                values[metric] = ratio(*own)[0]
            if n:
                tested, compared = between(own, (base[0][first], base[1][first])), within(here, base)
                test |= {metric: tested} if tested else {}
                paired |= {metric: compared} if compared else {}
        found.append(Outcome(arm, day + 1, int(users[n]), values, test or None, paired or None))
    return found
