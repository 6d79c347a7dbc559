"""Which days models are trained and compared on, where the configuration says how many and not which.

`logs.days` without an end is closed at the last day that was delivered; a `window` is placed on the days that are
labelled. The days that were found stand in the configuration from then on, and so in the description of every run.
"""

from collections.abc import Collection
from datetime import date
from itertools import pairwise

from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout, storage
from ncs.lake.layout import Lake


def close_days(conf: Config, lake: Lake) -> Config:
    """The configuration with an end to `logs.days`: the days from its first that were delivered or are in the lake.

    Raises DataError if there is none.
    """
    if not conf.logs.days.is_open:
        return conf
    source = storage.absolute(conf.logs.source or "")
    there = {*_delivered(source), *lake.days(layout.IMPRESSIONS)}
    days = {day for day in there if day in conf.logs.days}
    if not days:
        raise DataError(f"logs.days is {conf.logs.days}, and {source} has no such day in impressions/day=YYYY-MM-DD")
    return conf.with_keys({"logs.days": Days.of(days)})


def place_window(
    conf: Config, lake: Lake, last: date | None = None, blocked: Collection[date] = (), coming: Collection[date] = ()
) -> Config:
    """The configuration with `window.days`: the last `window.train` + `window.test` days that can be used.

    These are labelled, or about to be (`coming`), not excluded, not blocked, not after `last`, and with `window.final`
    no longer provisional. As long as there are fewer, it is those; while there is none, the window has no place yet.

    Raises DataError where more days are missing between two of them than `window.max_gap` allows.
    """
    window, logs = conf.window, conf.logs.days
    if window.train is None:
        return conf
    end = logs.last if last is None else last
    unusable = {*window.exclude, *blocked, *logs.without}
    labelled = {
        date.fromisoformat(key)
        for key, (_, record) in lake.records(layout.SAMPLES).items()
        if not (window.final and record.facts.get("provisional"))
    }
    usable = [day for day in {*labelled, *coming} if logs.first <= day <= end and day not in unusable]
    days = sorted(usable)[-(window.train + window.test) :]
    for before, after in pairwise(days):
        missing = [day for day in Days(before, after) if before < day < after and day not in window.exclude]
        if len(missing) > window.max_gap:
            raise DataError(
                f"{layout.SAMPLES} lacks {Days.text(missing)}, within the window of {window.train} + {window.test} "
                f"days up to {days[-1]}; window.max_gap allows {window.max_gap} in a row: deliver them, name them in "
                f"window.exclude, or raise it"
            )
    return conf.with_keys({"window.days": Days.of(days)}) if len(days) >= conf.least_days else conf


def _delivered(source: str) -> set[date]:
    """The days that have a folder of impressions."""
    days = set()
    for name in storage.folders(storage.join(source, "impressions")):
        try:
            days.add(date.fromisoformat(name.removeprefix("day=")))
        except ValueError:
            continue  # `ncs ingest` names what it leaves out
    return days
