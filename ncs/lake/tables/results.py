"""The tables of what models predict, how well they do it, and what data validation has found."""

from ncs.lake import names
from ncs.lake.columns import (
    COMPARISON,
    DAY,
    IMPRESSION,
    MADE_AT,
    METRIC,
    MODEL,
    RUN,
    TASK,
    USER,
    VIDEO,
    Column,
    estimate,
    probability,
    row_columns,
)
from ncs.lake.tables.rows import Figure, MaskFigure, Part, RunDifference, SeedDifference
from ncs.lake.tables.table import Table

PREDICTIONS = Table(
    names.PREDICTIONS,
    "predict",
    "Predictions of each model of a run on the test days",
    {
        "run_id": RUN,
        "model": MODEL,
        "impression_id": IMPRESSION.required,
        "user_id": USER.checked,
        "video_id": VIDEO.checked,
        "day": DAY,
        "pctr": probability("pctr", "predicted probability of a click").checked,
        "pcvr": probability("pcvr", "predicted share of the video watched after a click").checked,
    },
    ("run_id", "day"),
    "a p<task> column (double) for each further task",
    key=("run_id", "model", "impression_id"),
)
CALIBRATION = Table(
    names.CALIBRATION,
    "predict",
    "Isotonic calibration of each model's predictions, fitted on validation rows: a row a knot of the curve",
    {
        "run_id": RUN,
        "model": MODEL,
        "task": TASK,
        "place": Column("integer", "order of the knots, from 0, by rising prediction").required,
        "prediction": Column(
            "double", "the prediction; the curve is straight between knots, level beyond them"
        ).required,
        "calibrated": Column("double", "what it is calibrated to").required,
    },
    ("run_id",),
)
EVALUATIONS = Table(
    names.EVALUATIONS, "evaluate", "Figures of each model of a run on the test days", row_columns(Figure), ("run_id",)
)
RUN_DIFFERENCES = Table(
    names.RUN_DIFFERENCES,
    "evaluate",
    "Paired differences between the models of a run on the test days, each pair both ways",
    row_columns(RunDifference),
    ("run_id",),
)
SLICES = Table(
    names.SLICES,
    "evaluate",
    "Calibration and errors of each model of a run on parts of the test rows",
    row_columns(Part),
    ("run_id",),
)
MASKS = Table(
    names.MASKS,
    "evaluate",
    "Figures of the masks of each model of a run, one a row",
    {"run_id": RUN, "model": MODEL, **row_columns(MaskFigure)},
    ("run_id",),
)
DRAWN_ROWS = Table(
    names.DRAWN_ROWS,
    "compare",
    "Impressions of the test days that were drawn from a synthetic world for comparisons alone, as inputs of the net",
    {
        "impression_id": IMPRESSION.required,
        "day": DAY,
        "split": Column("string", "as in the samples; models are compared on all of them").required,
        "day_number": Column("integer", "the day as days since 1970-01-01").required,
        "click_probability": Column("float", "how likely the impression is clicked, by the world's truth"),
        "expected_cvr": Column("float", "the mean of its CVR label if it is clicked, by the world's truth"),
    },
    ("day", "split"),
    "a column for each feature and a float for the label of each task, as in the samples",
    key=("impression_id",),
    compact=False,
)
COMPARISONS = Table(
    names.COMPARISONS,
    "compare",
    "Figures of each model of a comparison, by seed; rows are only ever appended",
    {
        "comparison_id": COMPARISON,
        "made_at": MADE_AT,
        "run_id": RUN,
        "seed": Column("long", "train.seed of the run").required,
        "model": MODEL,
        "task": TASK,
        "metric": METRIC,
        "value": Column("double", "the figure on the test days").required,
        "parameters": Column("long", "weights that the model uses"),
        "density": Column("double", "share of the FC weights that a task uses, mean over tasks"),
        "seconds": Column("double", "of training, search included"),
        "epochs": Column(
            "double", "epochs that the task's final weights have seen, theta's included; null: not trained in epochs"
        ),
        "capped": Column("boolean", "whether train.epochs ended the training, not train.patience"),
        "tuned": Column("string", "keys that a search on validation set, as JSON"),
        "conf": Column("string", "digest of the configuration that the model was trained with"),
        "tables": Column("string", "versions of the tables that it was trained on, as JSON"),
        "git": Column("string", "commit of the code, if known"),
    },
    append_only=True,
)
DIFFERENCES = Table(
    names.DIFFERENCES,
    "compare",
    "Differences between models of a comparison, means over seeds; rows are only ever appended",
    {"comparison_id": COMPARISON, "made_at": MADE_AT, **row_columns(SeedDifference)},
    append_only=True,
)
SIMULATIONS = Table(
    names.SIMULATIONS,
    "simulate",
    "Ranking simulations: a row an arm, day and metric; rows are only ever appended",
    {
        "simulation_id": Column("string", "id of the simulation: run, models and settings decide it").required,
        "run_id": RUN,
        "made_at": MADE_AT,
        "arm": Column(
            "string", "what ranks: a numbered pair of models, A/A (the first pair again), oracle (the truth) or random"
        ).required,
        "pctr_model": Column("string", "the model whose pCTR ranks; null for oracle and random"),
        "pcvr_model": Column("string", "the model whose pCVR ranks; null for oracle and random"),
        "day": Column("long", "day of the simulation, from 1; figures are of all days up to it").required,
        "users": Column("long", "users of the arm that have visited"),
        "metric": Column("string", "view_seconds (a visit), cvr (of clicks) or ctr (of videos shown)").required,
        "value": Column("double", "the figure of the arm's own users"),
        **estimate("test", "between buckets of users, as an A/B test sees it"),
        **estimate("paired", "over all users, each asked by every arm"),
        "sample_ratio": Column("double", "p value of the users' split over the arms; below 0.001 it is broken"),
    },
    append_only=True,
)
VERDICTS = Table(
    names.VERDICTS,
    "validate",
    "What the gate said of each day of a table, each time it was asked; rows are only ever appended",
    {
        "table": Column("string", "the table that was checked").required,
        "day": Column("string", "the day, or all of a table without days").required,
        "version": Column("long", "version of the table that was read").required,
        "outcome": Column("string", "pass, warn or stop").required,
        "failures": Column("string", "the expectations that were not met, as a JSON list"),
        "run": Column("string", "when the command began that checked it").required,
        "checked": Column("timestamp", "when").required,
    },
    append_only=True,
)
RESULTS = (
    PREDICTIONS,
    CALIBRATION,
    EVALUATIONS,
    RUN_DIFFERENCES,
    SLICES,
    MASKS,
    DRAWN_ROWS,
    COMPARISONS,
    DIFFERENCES,
    SIMULATIONS,
    VERDICTS,
)
