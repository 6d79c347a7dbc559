"""The synthetic world and its truth: who there is, what is shown to whom, what people click and watch.

Every random number is a function of the seed, its name and the ids that it is drawn for (ncs.logs.draws), so a row
comes out the same whoever computes it, beside whatever other rows, and the truth can be asked for any user, video
and context, those that no log ever brought together included.

Four affinities decide. `shared` draws clicks and is watched; `cover` (an exaggerated cover, and how easily a user
falls for one) draws clicks and is not watched; `click` and `watch` matter to one task each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr, ndtri

from ncs.logs.draws import Floats, Ints, choice, normal, uniform
from ncs.logs.interactions import Interactions
from ncs.logs.schedule import SECOND, Schedule
from ncs.logs.watching import NOT_PLAYED, expected_cvr, root, watched_share

if TYPE_CHECKING:  # workers of Spark start faster without the configuration's machinery
    from ncs.config import Logs

Columns = dict[str, NDArray[Any]]

AGE_GROUPS = ("12-17", "18-23", "24-30", "31-40", "41-49", "50+", "unknown")
CATEGORIES = (
    "animals", "beauty", "cars", "comedy", "cooking", "dance", "education", "family", "fashion", "film",
    "fitness", "games", "music", "nature", "news", "science", "society", "sports", "technology", "travel",
)  # fmt: skip
SCENES = ("discover", "follow", "home", "related")
DEVICES = ("phone", "tablet", "television")

_AGE_SHARES = (0.08, 0.22, 0.24, 0.22, 0.12, 0.08, 0.04)
_SCENE_SHARES = (0.25, 0.15, 0.45, 0.15)
_DEVICE_SHARES = (0.8, 0.12, 0.08)
_SCENE_CLICK, _SCENE_WATCH = np.array([-0.3, 0.5, 0.0, 0.2]), np.array([-0.2, 0.4, 0.0, 0.1])
_DEVICE_WATCH = np.array([-0.05, 0.1, 0.3])

# The busiest share p of users, or videos, takes part in p ** (1 / tail) of all impressions.
_TAIL_USERS, _TAIL_VIDEOS = 2.0, 2.2
_VIDEOS_PER_AUTHOR = 8
_SPREAD = 2_147_483_647  # a prime: multiplying by it scatters ranks over ids, one to one

_TOPICS = 3
_DRIFT = 0.03  # radians a day that a video's own appeal turns by
_CLICK_SCALE, _WATCH_SCALE = 2.0, 1.7  # standard deviations of the affinities, as logits
_MEAN_CVR = 0.5  # what the intercept is set for (paper, Table 3)
_BALANCED_ROWS = 20_000  # impressions that this is done on
_AUTO_PLAYED = 0.03  # share of the other impressions that play by themselves


@dataclass(frozen=True)
class _Mix:
    """Variance shares of an affinity: by user, by video, by age group and category, by the pair's topics."""

    user: float
    video: float
    group: float
    topic: float


_AFFINITIES = {
    "shared": _Mix(user=0.35, video=0.3, group=0.15, topic=0.2),
    "cover": _Mix(user=0.25, video=0.45, group=0.1, topic=0.2),
    "click": _Mix(user=0.35, video=0.3, group=0.15, topic=0.2),
    "watch": _Mix(user=0.35, video=0.3, group=0.15, topic=0.2),
}
_OWN = 0.15  # variance share of what matters to one task alone
_MOST_COVER = 0.7  # variance share of covers in what both tasks see, at conflict 1

_LENGTHS = (5.0, 900.0)  # seconds
_SEGMENT_SHARES = (0.7, 0.2, 0.1)  # of plays in one, two, three segments
_LONGEST_DELAY = 60.0  # seconds from an impression to its click
_LONGEST_PAUSE = 300.0  # seconds between two segments of a play


class World:
    """The truth behind the logs that `logs` asks for. Holds no state but the configuration; ids count from 0.

    Columns go in and out as arrays of equal length, by name. `shown` stands for the columns of `impressions`, of
    any user, video and context: `user_id`, `video_id`, `ts` (microseconds since 1970, UTC), `position` (from 1),
    `scene` (of SCENES) and `device` (of DEVICES).
    """

    def __init__(self, logs: "Logs") -> None:
        self.seed, self.schedule = logs.seed, Schedule(logs)
        self.n_users, self.n_videos = logs.synthetic.users, logs.synthetic.videos
        self._shared, self._cover, self._own = np.sqrt(_variances(logs.synthetic.conflict))
        planted = logs.synthetic.interactions
        self._interactions = Interactions(self.seed, planted) if planted else None
        self._click_bias, self._watch_bias = 0.0, 0.0
        self._balance(logs.synthetic.click_rate, np.linspace(0, logs.impressions - 1, _BALANCED_ROWS).astype(np.int64))

    # Who and what there is, and what is shown to whom

    def users(self, user_id: ArrayLike) -> Columns:
        """`user_id, age_group, active_days` (of the last 180, at least 1)."""
        user = np.asarray(user_id, np.int64)
        return {
            "user_id": user,
            "age_group": np.array(AGE_GROUPS, object)[self._age(user)],
            "active_days": (1 + np.floor(180 * ndtr(self._engagement(user)))).astype(np.int32),
        }

    def videos(self, video_id: ArrayLike) -> Columns:
        """`video_id, length_seconds, author_id, category`; an author keeps to one category."""
        video = np.asarray(video_id, np.int64)
        author = self._author(video)
        return {
            "video_id": video,
            "length_seconds": np.round(np.clip(np.exp(4.0 + 0.9 * self._length(video)), *_LENGTHS), 1),
            "author_id": author,
            "category": np.array(CATEGORIES, object)[self._category(author)],
        }

    def impressions(self, index: ArrayLike, day: date | None = None) -> Columns:
        """`user_id, video_id, ts, position, scene, device`.

        `index` counts all days' impressions by time. With a `day` further ones of that day are drawn, that no log has:
        their numbers are beyond those.
        """
        rows = np.asarray(index, np.int64)
        user = self._popular("user", rows, self.n_users, _TAIL_USERS)
        return {
            "user_id": user,
            "video_id": self._popular("video", rows, self.n_videos, _TAIL_VIDEOS),
            "ts": self.schedule.shown_at(rows) if day is None else self.schedule.drawn_at(day, rows),
            "position": (1 + np.floor(12 * uniform(self.seed, "position", rows) ** 1.5)).astype(np.int32),
            "scene": np.array(SCENES, object)[choice(self.seed, "scene", _SCENE_SHARES, rows)],
            "device": np.array(DEVICES, object)[choice(self.seed, "device", _DEVICE_SHARES, user)],
            **(self._interactions.context(rows) if self._interactions else {}),
        }

    @property
    def context(self) -> tuple[str, ...]:
        """Further columns of impressions: those of a planted world."""
        return self._interactions.columns if self._interactions else ()

    # The truth

    def click_probability(self, shown: Mapping[str, NDArray[Any]]) -> Floats:
        """The click probability of each impression, in (0, 1)."""
        return expit(self.logits(shown)[0])

    def expected_cvr(self, shown: Mapping[str, NDArray[Any]]) -> Floats:
        """The mean of the CVR label that each impression gets if it is clicked, clipping at 1 included."""
        return expected_cvr(self.logits(shown)[1])

    def truth(self, shown: Mapping[str, NDArray[Any]]) -> Columns:
        """`click_probability` and `expected_cvr` at once."""
        click, watch = self.logits(shown)
        return {"click_probability": expit(click), "expected_cvr": expected_cvr(watch)}

    def logits(self, shown: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        """The logit of a click, and the centre of the logit-normal share that is watched after one."""
        if self._interactions:
            click, watch = self._interactions.effects(shown)
            return self._click_bias + _CLICK_SCALE * click, self._watch_bias + _WATCH_SCALE * watch
        user, of_user = np.unique(np.asarray(shown["user_id"], np.int64), return_inverse=True)
        video, of_video = np.unique(np.asarray(shown["video_id"], np.int64), return_inverse=True)
        scene, device = _codes(SCENES, shown["scene"]), _codes(DEVICES, shown["device"])
        days = self.schedule.days_since(shown["ts"])
        shared, cover, click, watch = (
            self._affinity(name, user, of_user, video, of_video, days) for name in _AFFINITIES
        )
        engaged = 0.3 * self._engagement(user)[of_user]
        return (
            self._click_bias
            + _CLICK_SCALE * (self._shared * shared + self._cover * cover + self._own * click)
            + (engaged + _SCENE_CLICK[scene] - 0.15 * np.log(shown["position"])),
            self._watch_bias
            + _WATCH_SCALE * (self._shared * shared - self._cover * cover + self._own * watch)
            + (engaged + _SCENE_WATCH[scene] + _DEVICE_WATCH[device] - 0.5 * self._length(video)[of_video]),
        )

    # What happens

    def responses(self, index: ArrayLike, shown: Mapping[str, NDArray[Any]]) -> Columns:
        """`clicked` and `watched_seconds` (of all segments; 0: nothing played), drawn for each index.

        An impression that is not clicked may be watched too: some play by themselves.
        """
        rows = np.asarray(index, np.int64)
        click, watch = self.logits(shown)
        clicked = uniform(self.seed, "clicked", rows) < expit(click)
        played = uniform(self.seed, "played", rows) < np.where(clicked, 1 - NOT_PLAYED, _AUTO_PLAYED)
        share = watched_share(watch, normal(self.seed, "watched", rows))
        length = self.videos(shown["video_id"])["length_seconds"]
        return {"clicked": clicked, "watched_seconds": np.where(played, np.round(share * length, 3), 0.0)}

    def clicks(self, index: ArrayLike) -> Columns:
        """The click events of impressions: `index` of the impression, `ts`."""
        rows = np.asarray(index, np.int64)
        shown = self.impressions(rows)
        clicked = self.responses(rows, shown)["clicked"]
        return {"index": rows[clicked], "ts": self._opened_at(rows, shown)[clicked]}

    def plays(self, index: ArrayLike) -> Columns:
        """The play segments of impressions, one to three each: `index`, `ts` (the start), `watched_seconds`."""
        rows = np.asarray(index, np.int64)
        shown = self.impressions(rows)
        watched, opened = self.responses(rows, shown)["watched_seconds"], self._opened_at(rows, shown)
        rows, opened, watched = (column[watched > 0] for column in (rows, opened, watched))
        segments = 1 + choice(self.seed, "segments", _SEGMENT_SHARES, rows)
        nth = np.arange(len(_SEGMENT_SHARES))
        real = nth < segments[:, None]
        start = np.round(np.minimum(nth / segments[:, None], 1) * watched[:, None], 3)  # seconds of the watch
        seconds = np.diff(start, axis=1, append=watched[:, None])
        pause = np.where(nth, _LONGEST_PAUSE * uniform(self.seed, "pause", rows[:, None], nth), 0)
        ts = opened[:, None] + ((start + np.cumsum(pause, axis=1)) * SECOND).astype(np.int64)
        return {
            "index": np.repeat(rows, segments),
            "ts": ts[real],
            "watched_seconds": np.round(seconds[real], 3),
        }

    # How it is drawn

    def _balance(self, click_rate: float, rows: Ints) -> None:
        """Set the intercepts at which these impressions have the click rate and the mean CVR that are wanted."""
        click, watch = self.logits(self.impressions(rows))
        self._click_bias = root(lambda bias: expit(click + bias).mean() - click_rate)
        clicked = expit(click + self._click_bias)
        clicked /= clicked.sum()
        self._watch_bias = root(lambda bias: clicked @ expected_cvr(watch + bias) - _MEAN_CVR)

    def _affinity(self, name: str, user: Ints, of_user: Ints, video: Ints, of_video: Ints, days: Floats) -> Floats:
        mix = _AFFINITIES[name]
        category = self._category(author := self._author(video))
        # Each user and video is drawn once, however many rows there are of it.
        appeal = normal(self.seed, f"{name}.video", video)[of_video] * np.cos(_DRIFT * days)
        appeal += normal(self.seed, f"{name}.turn", video)[of_video] * np.sin(_DRIFT * days)
        appeal = np.sqrt(0.6) * appeal + (np.sqrt(0.4) * normal(self.seed, f"{name}.author", author))[of_video]
        topics = np.arange(_TOPICS)
        taste = normal(self.seed, f"{name}.taste", user[:, None], topics)
        about = np.sqrt(0.5) * normal(self.seed, f"{name}.about", video[:, None], topics)
        about += np.sqrt(0.5) * normal(self.seed, f"{name}.category", category[:, None], topics)
        groups = normal(self.seed, f"{name}.group", np.arange(len(AGE_GROUPS))[:, None], np.arange(len(CATEGORIES)))
        return (
            np.sqrt(mix.user) * normal(self.seed, f"{name}.user", user)[of_user]
            + np.sqrt(mix.video) * appeal
            + np.sqrt(mix.group) * groups[self._age(user)[of_user], category[of_video]]
            + np.sqrt(mix.topic / _TOPICS) * (taste[of_user] * about[of_video]).sum(axis=1)
        )

    def _age(self, user: Ints) -> Ints:
        return choice(self.seed, "age", _AGE_SHARES, user)

    def _engagement(self, user: Ints) -> Floats:
        """Standard normal; higher for users who are shown more."""
        rank = user * pow(_SPREAD, -1, self.n_users) % self.n_users
        return 0.8 * normal(self.seed, "engagement", user) - 0.6 * ndtri((rank + 0.5) / self.n_users)

    def _author(self, video: Ints) -> Ints:
        authors = max(self.n_videos // _VIDEOS_PER_AUTHOR, 1)
        return (uniform(self.seed, "author", video) * authors).astype(np.int64)

    def _category(self, author: Ints) -> Ints:
        return (uniform(self.seed, "category", author) * len(CATEGORIES)).astype(np.int64)

    def _length(self, video: Ints) -> Floats:
        return normal(self.seed, "length", video)

    def _popular(self, stream: str, rows: Ints, count: int, tail: float) -> Ints:
        """Who takes part: ranks by a power law, scattered so that an id says nothing of its rank."""
        rank: Ints = (uniform(self.seed, stream, rows) ** tail * count).astype(np.int64)
        return rank * _SPREAD % count

    def _opened_at(self, rows: Ints, shown: Columns) -> Ints:
        delay = np.minimum(1 - 6 * np.log(uniform(self.seed, "delay", rows)), _LONGEST_DELAY)
        ts: Ints = shown["ts"]
        return ts + (delay * SECOND).astype(np.int64)


def _variances(conflict: float) -> tuple[float, float, float]:
    """Variance shares of the shared, the cover and a task's own affinity; they always add up to 1."""
    cover = (1 - _OWN) * _MOST_COVER * conflict
    return 1 - _OWN - cover, cover, _OWN


def _codes(names: tuple[str, ...], values: NDArray[Any]) -> Ints:
    """The positions of values in `names`, which are sorted."""
    return np.searchsorted(np.array(names), np.asarray(values, str)).astype(np.int64)
