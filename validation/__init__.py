"""The gates of the flow: Great Expectations suites for the lake's tables, and the verdicts on them.

`suites` says what each table must be, in `rules`; `gate` checks a DataFrame against that. Great Expectations is
imported where a table is checked, for that takes seconds which a gate that has nothing to do should not cost.
"""

from ncs.config import Config
from ncs.lake.layout import CLICKS, IMPRESSIONS, PLAYS, PREDICTIONS, SAMPLES, USERS, VIDEOS
from ncs.tasks import named_tasks


def tables(conf: Config) -> tuple[str, ...]:
    """The tables that have a suite, in the order of the flow."""
    encoded = (task.table for task in named_tasks(conf).values())
    return (IMPRESSIONS, CLICKS, PLAYS, USERS, VIDEOS, SAMPLES, *encoded, PREDICTIONS)


def page(table: str) -> str:
    """A table's name as suites, files and pages bear it, without a slash."""
    return table.replace("/", "-")
