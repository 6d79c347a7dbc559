"""Simulated visits: their users, their candidates, and the users' responses to what is shown.

Responses are counterfactual: a user's response to a video on a visit is the same in every arm that shows it at the same
position, so that arms differ only by their rankings, never by random draws.
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
"""The sums over the visits of an arm: seconds viewed, CVR labels of the clicks, clicks, videos shown, visits."""


@dataclass(frozen=True)
class Visits:
    """The visits of a day: `user_id, ts, scene, device` and planted columns [visits], `candidates` [visits, n]."""

    first: int
    context: Mapping[str, NDArray[Any]]
    candidates: Ints
    repeated: NDArray[np.bool_]
    """Repeated candidates of a visit, which are never shown."""

    @property
    def users(self) -> Ints:
        """The user of each visit [visits]."""
        return self.context["user_id"]

    def shown(self, videos: Ints, position: Ints) -> dict[str, NDArray[Any]]:
        """The world's columns for showing `videos` [visits, n] at positions that broadcast against them; flat."""
        columns = {name: np.repeat(values, videos.shape[1]) for name, values in self.context.items()}
        positions = np.broadcast_to(position, videos.shape).ravel()
        return {**columns, "video_id": videos.ravel(), "position": positions}


def draw_visits(world: World, conf: Simulate, day: int) -> Visits:
    """The visits of day 0, 1, ... after the logs' end.

    Users, scenes, devices and candidates are drawn as in the logged impressions; so candidates are mostly popular
    videos.
    """
    total = world.schedule.rows(world.schedule.days.last).stop
    numbers = np.arange(day * conf.visits, (day + 1) * conf.visits)
    drawn = world.impressions((uniform(conf.seed, "visit", numbers) * total).astype(np.int64))
    first, last = world.schedule.midnights[0], world.schedule.midnights[-1]
    ts = last + day * DAY + (drawn["ts"] - first) % DAY
    rows = (uniform(conf.seed, "candidate", numbers[:, None], np.arange(conf.candidates)) * total).astype(np.int64)
    candidates = np.sort(world.impressions(rows.ravel())["video_id"].reshape(rows.shape), axis=1)
    repeated = np.zeros(candidates.shape, bool)
    repeated[:, 1:] = candidates[:, 1:] == candidates[:, :-1]
    context = {**{name: drawn[name] for name in ("user_id", "scene", "device", *world.context)}, "ts": ts}
    return Visits(int(numbers[0]), context, candidates, repeated)


def respond(world: World, visits: Visits, scores: Floats, top: int) -> dict[str, Floats]:
    """The responses if each visit is shown its `top` candidates by `scores` [visits, candidates], best first.

    Returns the FIGURES of each visit, float64 [visits]. Seconds count where there was a click.
    """
    ranked = np.argsort(-np.where(visits.repeated, -np.inf, scores), axis=1, kind="stable")[:, :top]
    videos = np.take_along_axis(visits.candidates, ranked, axis=1)
    real = ~np.take_along_axis(visits.repeated, ranked, axis=1)
    shown = visits.shown(videos, np.arange(1, top + 1))
    number = visits.first + np.arange(len(videos))[:, None]
    # Beyond the numbers of the logged impressions, so that no logged draw is used again.
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
