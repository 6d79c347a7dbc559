"""Simulated visits: who comes, what could be shown, and how the world answers to what is shown.

The answers are counterfactual: what a user does with a video on a visit is the same in every arm that shows it in the
same place, so arms differ by what they rank, never by luck.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncs.config import Simulate
from ncs.logs.draws import Floats, Ints, uniform
from ncs.logs.schedule import DAY
from ncs.logs.world import World

FIGURES = ("seconds", "watched", "clicks", "shown", "visits")
"""What is summed over the visits of an arm: seconds viewed, CVR labels of the clicks, clicks, videos shown, visits."""


@dataclass(frozen=True)
class Visits:
    """The visits of a day: `user_id, ts, scene, device` [visits], and the `candidates` [visits, candidates]."""

    first: int
    context: Mapping[str, NDArray[Any]]
    candidates: Ints
    repeated: NDArray[np.bool_]
    """Candidates that stand among the visit's candidates already: never shown."""

    @property
    def users(self) -> Ints:
        """Who comes [visits]."""
        return self.context["user_id"]

    def shown(self, videos: Ints, position: Ints) -> dict[str, NDArray[Any]]:
        """The world's columns of showing `videos` [visits, n] at positions that broadcast against them; flat."""
        columns = {name: np.repeat(values, videos.shape[1]) for name, values in self.context.items()}
        places = np.broadcast_to(position, videos.shape).ravel()
        return {**columns, "video_id": videos.ravel(), "position": places}


def visits_of(world: World, wanted: Simulate, day: int) -> Visits:
    """The visits of day 0, 1, ... after the logs' end.

    Visitors, their scenes and their devices are drawn as those of the logged impressions; so are the candidates, which
    are therefore mostly popular videos.
    """
    total = world.schedule.rows(world.schedule.days.last).stop
    numbers = np.arange(day * wanted.visits, (day + 1) * wanted.visits)
    drawn = world.impressions((uniform(wanted.seed, "visit", numbers) * total).astype(np.int64))
    first, last = world.schedule.midnights[0], world.schedule.midnights[-1]
    ts = last + day * DAY + (drawn["ts"] - first) % DAY
    rows = (uniform(wanted.seed, "candidate", numbers[:, None], np.arange(wanted.candidates)) * total).astype(np.int64)
    candidates = np.sort(world.impressions(rows.ravel())["video_id"].reshape(rows.shape), axis=1)
    repeated = np.zeros(candidates.shape, bool)
    repeated[:, 1:] = candidates[:, 1:] == candidates[:, :-1]
    context = {"user_id": drawn["user_id"], "ts": ts, "scene": drawn["scene"], "device": drawn["device"]}
    return Visits(int(numbers[0]), context, candidates, repeated)


def answers(world: World, visits: Visits, scores: Floats, top: int) -> dict[str, Floats]:
    """What happens if each visit is shown its `top` candidates by `scores` [visits, candidates], best first.

    Returns the FIGURES of each visit, float64 [visits]. Seconds count where there was a click.
    """
    ranked = np.argsort(-np.where(visits.repeated, -np.inf, scores), axis=1, kind="stable")[:, :top]
    videos = np.take_along_axis(visits.candidates, ranked, axis=1)
    real = ~np.take_along_axis(visits.repeated, ranked, axis=1)
    shown = visits.shown(videos, np.arange(1, top + 1))
    number = visits.first + np.arange(len(videos))[:, None]
    # Beyond the numbers of the logged impressions, so that nothing logged is drawn again.
    beyond = world.schedule.rows(world.schedule.days.last).stop
    response = world.responses((beyond + number * world.n_videos + videos).ravel(), shown)
    length = world.videos(videos.ravel())["length_seconds"]
    clicked = response["clicked"] & real.ravel()
    seconds = np.where(clicked, response["watched_seconds"], 0.0)
    by_row = {
        "seconds": seconds,
        "watched": np.minimum(seconds / length, 1.0),
        "clicks": clicked.astype(np.float64),
        "shown": real.ravel().astype(np.float64),
    }
    sums = {name: values.reshape(videos.shape).sum(axis=1) for name, values in by_row.items()}
    return {**sums, "visits": np.ones(len(videos))}
