"""Synthetic logs: the world's columns, a day's folder at a time, and some broken rows among them.

A click or play stands in the folder of the day that it falls on, which may be the day after its impression. What
falls after the last day is left out: that log has not been written yet. Broken rows are additional to the others
and never change what those say; their share of a log's rows is `logs.synthetic.dirty` for each kind.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from ncs.logs.draws import Ints, uniform
from ncs.logs.schedule import DAY, SECOND
from ncs.logs.world import Columns, World

if TYPE_CHECKING:  # workers of Spark start faster without the configuration's machinery
    from ncs.config import Logs

_IDS_PER_PART = 100_000  # makes the files' size, never their rows

_ID, _LONG, _STRING = ("impression_id", pa.string()), pa.int64(), pa.string()
_TS = ("ts", pa.timestamp("us", "UTC"))
_SCHEMAS = {
    "impressions": pa.schema(
        [
            *(_ID, ("user_id", _LONG), ("video_id", _LONG), _TS),
            *(("position", pa.int32()), ("scene", _STRING), ("device", _STRING)),
        ]
    ),
    "clicks": pa.schema([_ID, _TS]),
    "plays": pa.schema([_ID, _TS, ("watched_seconds", pa.float64())]),
    "truth": pa.schema([_ID, ("click_probability", pa.float64()), ("expected_cvr", pa.float64())]),
    "samples": pa.schema(
        [
            *(_ID, ("user_id", _LONG), ("video_id", _LONG), _TS),
            *(("position", pa.int32()), ("scene", _STRING), ("device", _STRING)),
            *(("age_group", _STRING), ("active_days", pa.int32())),
            *(("length_seconds", pa.float64()), ("author_id", _LONG), ("category", _STRING)),
            *(("clicked", pa.int32()), ("watched_seconds", pa.float64()), ("cvr", pa.float64())),
            *(("click_probability", pa.float64()), ("expected_cvr", pa.float64())),
        ]
    ),
    "users": pa.schema([("user_id", _LONG), ("age_group", _STRING), ("active_days", pa.int32())]),
    "videos": pa.schema(
        [("video_id", _LONG), ("length_seconds", pa.float64()), ("author_id", _LONG), ("category", _STRING)]
    ),
}


@dataclass(frozen=True)
class Rows:
    """The rows of a log, a part at a time: whoever makes a part, and whenever, it is the same."""

    schema: pa.Schema
    ids: range
    make: Callable[[Ints], Columns]
    """Ids -> the rows that they stand for, not always one each."""

    @property
    def parts(self) -> list[range]:
        """The ids of each part; there is always one."""
        return [self.ids[start : start + _IDS_PER_PART] for start in range(0, max(len(self.ids), 1), _IDS_PER_PART)]

    def batch(self, ids: Ints) -> pa.RecordBatch:
        """The rows of some ids."""
        columns = self.make(ids)
        return pa.RecordBatch.from_arrays(
            [pa.array(columns[field.name], field.type) for field in self.schema], schema=self.schema
        )

    def table(self, ids: range) -> pa.Table:
        """The rows of a part."""
        return pa.Table.from_batches([self.batch(np.arange(ids.start, ids.stop))], self.schema)


def generate_day(logs: "Logs", day: date) -> dict[str, Rows]:
    """A day's folders: `impressions`, `clicks`, `plays`, and the `truth` of its impressions.

    `truth` holds `impression_id, click_probability, expected_cvr` (the mean of the label if clicked). Raises
    ConfigError for a day that is not among `logs.days`.
    """
    world, dirty = _world(logs), logs.synthetic.dirty
    bounds = world.schedule.bounds(day)
    own, around = world.schedule.rows(day), world.schedule.rows_with_events(day)
    return {
        "impressions": Rows(_schema("impressions", world), own, partial(_impressions, world, bounds, dirty)),
        "clicks": Rows(_SCHEMAS["clicks"], around, partial(_clicks, world, bounds, dirty)),
        "plays": Rows(_SCHEMAS["plays"], around, partial(_plays, world, bounds, dirty)),
        "truth": Rows(_SCHEMAS["truth"], own, partial(_truth, world)),
    }


_DRAWN = 1 << 52  # numbers of impressions that no log has, nor any simulation
_DRAWN_A_DAY = 1 << 32


def draw_samples(spark: SparkSession, logs: "Logs", day: date, count: int) -> DataFrame:
    """`count` further impressions of a day, that no log has, as rows of silver/samples, with their truth.

    Labels are as if every event had come in time; a missing `cvr` is NaN. `click_probability, expected_cvr` as in
    `generate_day`. Raises ConfigError for a day that is not among `logs.days`.
    """
    world = _world(logs)
    start = _DRAWN + (day - logs.days.first).days * _DRAWN_A_DAY
    drawn = Rows(
        _schema("samples", world), range(start, start + count), partial(_samples, world, logs.synthetic.dirty, day)
    )

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return (drawn.batch(batch.column(0).to_numpy()) for batch in batches)

    ids = spark.range(start, start + count, 1, len(drawn.parts))
    return ids.mapInArrow(rows, from_arrow_schema(drawn.schema)).withColumn("day", F.lit(day))


def profiles(logs: "Logs") -> dict[str, Rows]:
    """All `users` and `videos`; some videos lack a usable length."""
    world = _world(logs)
    return {
        "users": Rows(_SCHEMAS["users"], range(world.n_users), world.users),
        "videos": Rows(_SCHEMAS["videos"], range(world.n_videos), partial(_videos, world, logs.synthetic.dirty)),
    }


@cache
def _world(logs: "Logs") -> World:
    return World(logs)


def _schema(log: str, world: World) -> pa.Schema:
    """With the context columns of a planted world."""
    return pa.schema([*_SCHEMAS[log], *((name, pa.int32()) for name in world.context)])


def _impressions(world: World, bounds: tuple[int, int], dirty: float, rows: Ints) -> Columns:
    clean = {"index": rows, **world.impressions(rows)}
    repeated = _some(world, "repeated", dirty, clean)
    repeated["ts"] = repeated["ts"] + _seconds(world, "repeated", repeated["index"])
    stray = _some(world, "wrong_day", dirty, clean)
    stray["ts"] = stray["ts"] - 2 * DAY
    logged = _within(bounds, _joined(_named(clean), _named(repeated)))
    return _joined(logged, _named(stray, unknown=True))


def _clicks(world: World, bounds: tuple[int, int], dirty: float, rows: Ints) -> Columns:
    return _within(bounds, _events(world, "click", dirty, world.clicks(rows)))


def _plays(world: World, bounds: tuple[int, int], dirty: float, rows: Ints) -> Columns:
    clean = world.plays(rows)
    broken = []
    for kind, watched in (("negative", -1.0), ("not_a_number", np.nan), ("infinite", np.inf)):
        some = _some(world, kind, dirty, clean)
        some["watched_seconds"] = np.full(len(some["index"]), watched)
        broken.append(_named(some))
    return _within(bounds, _joined(_events(world, "play", dirty, clean), *broken))


def _events(world: World, log: str, dirty: float, clean: Columns) -> Columns:
    """Clicks or plays with, among them, some of no impression and some from before their impression."""
    orphans = _some(world, f"{log}.no_impression", dirty, clean)
    early = _some(world, f"{log}.before_impression", dirty, clean)
    early["ts"] = world.schedule.shown_at(early["index"]) - _seconds(world, f"{log}.early", early["index"])
    return _joined(_named(clean), _named(orphans, unknown=True), _named(early))


def _truth(world: World, rows: Ints) -> Columns:
    return _named({"index": rows, **world.truth(world.impressions(rows))})


def _samples(world: World, dirty: float, day: date, rows: Ints) -> Columns:
    shown = world.impressions(rows, day)
    responses, videos = world.responses(rows, shown), _videos(world, dirty, shown["video_id"])
    clicked, watched = responses["clicked"], responses["watched_seconds"]
    length = np.array([value if value and value > 0 else np.nan for value in videos["length_seconds"]], float)
    cvr = np.minimum(watched / length, 1.0)
    return _named(
        {
            "index": rows,
            **world.users(shown["user_id"]),
            **videos,
            **shown,
            **world.truth(shown),
            "clicked": clicked.astype(np.int32),
            "watched_seconds": watched,
            "cvr": np.where(clicked, cvr, np.nan),
        }
    )


def _videos(world: World, dirty: float, ids: Ints) -> Columns:
    """Videos, some with a length that is null, zero or negative."""
    videos = world.videos(ids)
    broken = uniform(world.seed, "dirty.length", ids)
    length = videos["length_seconds"].astype(object)
    length[broken < 2 * dirty] = 0.0
    length[broken < 1.5 * dirty] = -1.0
    length[broken < dirty] = None
    return {**videos, "length_seconds": length}


def _some(world: World, kind: str, share: float, rows: Columns) -> Columns:
    chosen = uniform(world.seed, f"dirty.{kind}", rows["index"]) < share
    return {name: column[chosen] for name, column in rows.items()}


def _seconds(world: World, stream: str, rows: Ints) -> Ints:
    """From one to sixty seconds, in microseconds."""
    return (SECOND * (1 + 59 * uniform(world.seed, f"dirty.{stream}.seconds", rows))).astype(np.int64)


def _named(rows: Columns, unknown: bool = False) -> Columns:
    """The rows with the id of their impression, or of one that no log knows."""
    letter = "x" if unknown else "i"
    ids = np.array([f"{letter}{index:010d}" for index in rows["index"].tolist()], object)
    return {"impression_id": ids, **rows}


def _within(bounds: tuple[int, int], rows: Columns) -> Columns:
    inside = (bounds[0] <= rows["ts"]) & (rows["ts"] < bounds[1])
    return {name: column[inside] for name, column in rows.items()}


def _joined(*parts: Columns) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
