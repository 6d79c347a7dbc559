"""Two days of small raw logs, good rows and broken ones, as landing folders; made without Spark."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ncs.days import Days

DAYS = Days.parse("2022-04-08..2022-04-09")
_SHOWN, _USERS, _VIDEOS = 150, 20, 12


def deliver(landing: Path, whole: bool, first_user: int = 0) -> None:
    """Write the logs; those of the days lack every seventh row if they are not whole."""
    users = {
        "user_id": np.arange(_USERS) + first_user,
        "age_group": [f"g{n % 3}" for n in range(_USERS)],
        "active_days": range(_USERS),
    }
    videos = {"video_id": range(_VIDEOS), "length_seconds": [5.0 * n for n in range(_VIDEOS)]}
    videos |= {"author_id": [n % 4 for n in range(_VIDEOS)], "category": [f"c{n % 2}" for n in range(_VIDEOS)]}
    _write(landing / "users", users, True)
    _write(landing / "videos", videos, True)
    for day in DAYS:
        for log, columns in _day(datetime(day.year, day.month, day.day, tzinfo=UTC), first_user).items():
            _write(landing / log / f"day={day}", columns, whole)


def _day(start: datetime, first_user: int) -> dict[str, dict[str, list[object]]]:
    chance = np.random.default_rng(start.day)
    times = [start + timedelta(minutes=9 * n) for n in range(_SHOWN)]
    names = [f"{start.day}-{n - (n % 20 == 19)}" for n in range(_SHOWN)]  # every twentieth repeats the one before
    user, video = chance.integers(_USERS, size=_SHOWN), chance.integers(_VIDEOS, size=_SHOWN)
    clicked = [n for n in range(_SHOWN) if chance.random() < 0.5]
    event = [names[n] if n % 11 else f"lost-{n}" for n in clicked]  # some belong to no impression
    later = [times[n] + timedelta(seconds=int(chance.integers(-1, 60))) for n in clicked]
    shown = {"impression_id": names, "user_id": (user + first_user).tolist(), "video_id": video.tolist(), "ts": times}
    return {
        "impressions": {
            **shown,
            "position": np.arange(_SHOWN, dtype=np.int32) % 6,
            "scene": [f"s{n % 4}" for n in user],
        },
        "clicks": {"impression_id": event, "ts": later},
        "plays": {"impression_id": event, "ts": later, "watched_seconds": [float(n % 40 - 1) for n in clicked]},
    }


def _write(folder: Path, columns: dict[str, object], whole: bool) -> None:
    table = pa.table(
        {name: values if isinstance(values, np.ndarray) else list(values) for name, values in columns.items()}
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if whole else table.take([n for n in range(len(table)) if n % 7]), folder / "part.parquet")
