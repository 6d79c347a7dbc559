"""Columns of the tables, and groups of them, that several tables have; it imports neither Spark nor torch."""

from typing import NamedTuple


class Column(NamedTuple):
    """A column: its type as Delta names it, and what it says."""

    type: str
    comment: str


IMPRESSION = Column("string", "id of the impression")
USER = Column("long", "id of the user")
VIDEO = Column("long", "id of the video")
TIME = Column("timestamp", "when it happened, UTC")
FOLDER = Column("date", "the day whose folder the row was delivered in")
DAY = Column("date", "day of the impression, in the logs' time zone")
LENGTH = Column("double", "length of the video, seconds")
RUN = Column("string", "id of the run; its data, code and packages stand in models/<run_id>/run.json")
MODEL = Column("string", "a model of the configuration's catalogue")
TASK = Column("string", "the task: ctr, cvr or a further one")
METRIC = Column(
    "string", "auc, gauc (within users), mse, spearman, log_loss, ece or ece_calibrated (calibration errors)"
)
COMPARISON = Column("string", "id of the comparison: its runs, models and settings decide it")
MADE_AT = Column("timestamp", "when the rows were appended, UTC")


def ends(low: str, high: str, over: str) -> dict[str, Column]:
    """The two ends of a 95 % interval."""
    return {
        low: Column("double", f"lower end of the 95 % interval {over}"),
        high: Column("double", f"upper end of the 95 % interval {over}"),
    }


def estimate(prefix: str, how: str) -> dict[str, Column]:
    """A difference from the first arm of a simulation; null for that arm itself."""
    return {
        f"{prefix}_gain": Column("double", f"difference from the first arm, as a share of its figure, {how}"),
        **ends(f"{prefix}_low", f"{prefix}_high", how),
        f"{prefix}_any_day": Column("double", "half width of an interval that holds on all days at once"),
    }


def mean(name: str, of: str) -> dict[str, Column]:
    """A mean and its standard error."""
    return {name: Column("double", f"mean {of}"), f"{name}_error": Column("double", f"standard error of {name}")}
