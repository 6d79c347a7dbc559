"""Rows of the tables that are computed row by row: a field is a column, with what it says.

A field that joins has a default, which the rows of before are read with.
"""

from dataclasses import dataclass, fields
from typing import Annotated, NamedTuple

from ncs import metrics
from ncs.lake.columns import METRIC, MODEL, RUN, TASK, Column, ends, mean, standard_error

_LESS = ", ".join(metrics.names(more_is_better=False))
_CI = ends("ci_low", "ci_high", "over the test rows")
_OF_DIFFERENCE = ends("low", "high", "over the test rows; of several training seeds, over seeds and rows together")
_OVER_SEEDS = ends("seeds_low", "seeds_high", "over seeds alone")
_OVER_ROWS = ends("rows_low", "rows_high", "over test rows alone")


@dataclass(frozen=True)
class Figure:
    """One figure of one model, as a row of gold/evaluations."""

    run_id: Annotated[str, RUN]
    model: Annotated[
        str, Column("string", "a model of the run, or truth: the synthetic generator's own probabilities").required
    ]
    task: Annotated[str, TASK]
    metric: Annotated[str, METRIC]
    value: Annotated[float, Column("double", "the figure").required]
    ci_low: Annotated[float, _CI["ci_low"]]
    ci_high: Annotated[float, _CI["ci_high"]]
    n: Annotated[int, Column("long", "test rows that the figure is of")]
    baseline: Annotated[str, Column("string", "the model that gain is against")]
    gain: Annotated[float, Column("double", f"(value - baseline) / baseline; less is better for {_LESS}")]


@dataclass(frozen=True)
class Difference:
    """The difference of two models on the same rows, in one metric of a task: the columns that all differences have."""

    model: Annotated[str, MODEL]
    reference: Annotated[str, Column("string", "the model that it is compared with").required]
    task: Annotated[str, TASK]
    metric: Annotated[str, METRIC]
    difference: Annotated[float, Column("double", f"model - reference; less is better for {_LESS}")]
    relative: Annotated[float | None, Column("double", "difference / reference")]
    low: Annotated[float, _OF_DIFFERENCE["low"]]
    high: Annotated[float, _OF_DIFFERENCE["high"]]
    better: Annotated[
        bool | None,
        Column(
            "boolean",
            "true or false where the interval excludes 0, of a comparison also after Holm's correction, else null",
        ),
    ]


@dataclass(frozen=True)
class RunDifference(Difference):
    """A difference between models of a run, over its test rows, as a row of gold/run_differences."""

    run_id: Annotated[str, RUN]
    reference_run: Annotated[str, Column("string", "the run of the reference: the same run, or another").required]
    n: Annotated[int, Column("long", "test rows that both models are compared on")]

    @classmethod
    def from_difference(cls, difference: Difference, run_id: str, n: int) -> "RunDifference":
        """A difference between two models of one run, over `n` rows."""
        common = {column.name: getattr(difference, column.name) for column in fields(Difference)}
        return cls(**common, run_id=run_id, reference_run=run_id, n=n)


@dataclass(frozen=True)
class SeedDifference(Difference):
    """A difference between models of a comparison, means over training seeds, as a row of gold/differences."""

    seeds_low: Annotated[float, _OVER_SEEDS["seeds_low"]]
    seeds_high: Annotated[float, _OVER_SEEDS["seeds_high"]]
    rows_low: Annotated[float, _OVER_ROWS["rows_low"]]
    rows_high: Annotated[float, _OVER_ROWS["rows_high"]]
    p: Annotated[float | None, Column("double", "p value of no difference")] = None
    p_holm: Annotated[
        float | None, Column("double", "the same by Holm's correction over all differences from the reference")
    ] = None
    smallest: Annotated[
        float | None, Column("double", "smallest true difference that is settled four times in five, looked at alone")
    ] = None
    smallest_holm: Annotated[
        float | None, Column("double", "the same at the first step of Holm's correction, the strictest")
    ] = None


@dataclass(frozen=True)
class Part:
    """Calibration and errors of one model in one task on a part of the test rows, as a row of gold/slices."""

    run_id: Annotated[str, RUN]
    model: Annotated[str, MODEL]
    task: Annotated[str, TASK]
    slice: Annotated[
        str, Column("string", "all, prediction or calibrated (in 20 bins), or a column of `slices`").required
    ]
    part: Annotated[str, Column("string", "the part").required]
    place: Annotated[int, Column("integer", "order of the parts of a slice").required]
    n: Annotated[int, Column("long", "rows of the part that have a label").required]
    label: Annotated[float, Column("double", "mean label")]
    prediction: Annotated[float, Column("double", "mean prediction")]
    bias: Annotated[float, mean("prediction - label")]
    bias_error: Annotated[float, standard_error("bias")]
    mse: Annotated[float, mean("squared error")]
    mse_error: Annotated[float, standard_error("mse")]
    log_loss: Annotated[float, mean("log loss")]
    log_loss_error: Annotated[float, standard_error("log_loss")]


class MaskFigure(NamedTuple):
    """One figure of a model's masks, as a row of gold/masks."""

    task: Annotated[str, Column("string", "the task, or the two tasks (ctr+cvr) that the figure lies between").required]
    round: Annotated[
        int | None, Column("integer", "the pruning round; null: the masks that the tasks were given in the end")
    ]
    layer: Annotated[str, Column("string", "the layer; all: the whole net").required]
    input: Annotated[
        str | None,
        Column("string", "the field or cross that feeds these connections; null: all of the layer"),
    ]
    figure: Annotated[
        str,
        Column(
            "string",
            "density, validation, chosen, jaccard, chance, shared, <task>_only, containment, containment_chance, "
            "<task>_exclusive, cosine_*, negative_*",
        ).required,
    ]
    value: Annotated[float, Column("double", "the figure")]
