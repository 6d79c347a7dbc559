"""The tables of the models in use: the registry of aliases, and how models did on each day."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from ncs.lake import names
from ncs.lake.columns import DAY, MADE_AT, METRIC, MODEL, RUN, TASK, Column, OneOf, ends, row_columns
from ncs.lake.tables.table import Table

CHAMPION, CANDIDATE = "champion", "candidate"
"""The model in use, and the one that may take its place."""
_ALIASES = OneOf("alias_is_known", (CHAMPION, CANDIDATE))
_ACTIONS = OneOf("action_is_known", ("register", "promote", "force", "rollback"))
_CI = ends("ci_low", "ci_high", "over the day's rows")


@dataclass(frozen=True)
class RegistryEntry:
    """An alias given to a model, as a row of gold/models."""

    sequence: Annotated[int, Column("long", "order of the entries, from 1").required]
    made_at: Annotated[datetime, MADE_AT]
    alias: Annotated[str, Column("string", "champion or candidate", values=_ALIASES).required]
    action: Annotated[
        str,
        Column(
            "string",
            "register: a new candidate; promote: the rules allowed it; force: they were overruled; rollback: the "
            "champion before",
            values=_ACTIONS,
        ).required,
    ]
    run_id: Annotated[str, RUN]
    model: Annotated[str, MODEL]
    reference: Annotated[str | None, Column("string", "RUN_ID/MODEL that was the champion until then")]
    day: Annotated[date | None, Column("date", "the day that both were compared on")]
    evidence: Annotated[
        str | None,
        Column(
            "string",
            "by task, as JSON: labelled rows, calibration, both figures, their paired difference and its 95 % interval",
        ),
    ]
    who: Annotated[str, Column("string", "who did it: NCS_USER, or the user of the process").required]
    why: Annotated[str, Column("string", "the reason that was given, or the rules' answer").required]


@dataclass(frozen=True)
class DayFigure:
    """One figure of one model on one day that it was not trained on, as a row of gold/progress."""

    day: Annotated[date, DAY]
    run_id: Annotated[str, RUN]
    model: Annotated[str, MODEL]
    task: Annotated[str, TASK]
    metric: Annotated[str, METRIC]
    value: Annotated[float, Column("double", "the figure").required]
    ci_low: Annotated[float, _CI["ci_low"]]
    ci_high: Annotated[float, _CI["ci_high"]]
    n: Annotated[int, Column("long", "rows of the day that the figure is of")]
    trained_until: Annotated[date, Column("date", "the last day that the model was trained on")]


REGISTRY = Table(
    names.REGISTRY,
    "promote",
    "Which model is the champion and which the candidate: an entry a change; rows are only ever appended",
    row_columns(RegistryEntry),
    key=("sequence",),
    append_only=True,
)
PROGRESS = Table(
    names.PROGRESS,
    "evaluate",
    "Figures of models by day, each on a day after those that it was trained on",
    row_columns(DayFigure),
    ("day",),
    key=("day", "run_id", "model", "task", "metric"),
)
REGISTRY_TABLES = (REGISTRY, PROGRESS)
