"""What the tables hold: each table and column with its type and a comment, in one place.

Delta's comments and the data dictionary of the documentation are made of it. It imports neither Spark nor torch.
Columns that the configuration decides (of the logs, the fields, the tasks) are told of by `Table.rest`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ncs.lake import layout
from ncs.lake.columns import (
    COMPARISON,
    DAY,
    FOLDER,
    IMPRESSION,
    LENGTH,
    MADE_AT,
    METRIC,
    MODEL,
    RUN,
    TASK,
    TIME,
    USER,
    VIDEO,
    Column,
    ends,
    estimate,
    mean,
)
from ncs.tasks import CTR, CVR


@dataclass(frozen=True)
class Table:
    """A table: the stage that writes it, what a row is, its fixed columns, and what others there may be."""

    stage: str
    comment: str
    columns: Mapping[str, Column]
    partition: tuple[str, ...] = ()
    rest: str = ""


def samples_of(task: str, rows: str, label: Column) -> Table:
    """The samples of a task, whose label stands in a column called like the task unless `clicked`."""
    return Table(
        "encode",
        f"{rows}, as ids; rows of a day in a seeded order of chance",
        {
            "impression_id": IMPRESSION,
            "day": DAY,
            "split": Column("string", "train or validation (by a hash of the id) on training days, else test"),
            "day_number": Column("integer", "the day as days since 1970-01-01: loaders see no partition columns"),
            "clicked" if task == CTR else task: label,
        },
        ("day", "split"),
        "an integer for each configured field, its id in gold/vocabulary or 0; a float for the label of each "
        "other task, NaN where the row has none",
    )


TABLES: Mapping[str, Table] = {
    layout.IMPRESSIONS: Table(
        "ingest",
        "What was shown: a row an impression, as delivered",
        {"impression_id": IMPRESSION, "user_id": USER, "video_id": VIDEO, "ts": TIME, "day": FOLDER},
        ("day",),
        "context columns of the log; position (integer) and length_seconds (double) where the log has them",
    ),
    layout.CLICKS: Table(
        "ingest",
        "Clicks: a row an event, as delivered",
        {"impression_id": IMPRESSION, "ts": TIME, "day": FOLDER},
        ("day",),
    ),
    layout.PLAYS: Table(
        "ingest",
        "Play segments: several of one impression add up, as delivered",
        {
            "impression_id": IMPRESSION,
            "ts": TIME,
            "watched_seconds": Column("double", "seconds watched in this segment"),
            "day": FOLDER,
        },
        ("day",),
    ),
    layout.USERS: Table(
        "ingest", "Users: the latest row of each", {"user_id": USER}, rest="profile columns of the log"
    ),
    layout.VIDEOS: Table(
        "ingest",
        "Videos: the latest row of each",
        {"video_id": VIDEO},
        rest="item columns of the log; length_seconds (double) unless each impression tells it",
    ),
    layout.SAMPLES: Table(
        "label",
        "Labelled impressions: a row an impression that was kept",
        {
            "impression_id": IMPRESSION,
            "user_id": USER,
            "video_id": VIDEO,
            "ts": TIME,
            "day": DAY,
            "length_seconds": LENGTH,
            "clicked": Column("integer", "1 if a click came within the attribution window, else 0"),
            "watched_seconds": Column("double", "seconds of its play segments within the window, clicked or not"),
            "cvr": Column("double", "min(watched / length, 1) where clicked and the length is known, else null"),
        },
        ("day",),
        "context, user and video columns of the logs",
    ),
    layout.QUARANTINE: Table(
        "label",
        "Raw rows that were set aside, each with its reason",
        {
            "log": Column("string", "impressions, clicks or plays"),
            "day": FOLDER,
            "reason": Column(
                "string",
                "null_key, wrong_day, id_conflict, bad_watch, no_impression, before_impression, after_window",
            ),
            "impression_id": Column("string", "id that the row names, if any"),
            "row": Column("string", "the raw row as JSON"),
        },
        ("day",),
    ),
    layout.VOCABULARY: Table(
        "encode",
        "Ids of the fields' values, learnt on the training days; 0, which has no row, is unknown or rare",
        {
            "field": Column("string", "a configured field"),
            "value": Column("string", "the value; of a bucket its lower edge"),
            "id": Column("integer", "from 1: by falling frequency, buckets by rising value"),
            "count": Column("long", "rows of the training days with this value"),
        },
    ),
    "gold/ctr_samples": samples_of(CTR, "Samples of CTR: every impression", Column("float", "1 if clicked, else 0")),
    "gold/cvr_samples": samples_of(
        CVR, "Samples of CVR: clicked impressions with a label", Column("float", "share of the video that was watched")
    ),
    layout.PREDICTIONS: Table(
        "predict",
        "Predictions of each model of a run on the test days",
        {
            "run_id": RUN,
            "model": MODEL,
            "impression_id": IMPRESSION,
            "user_id": USER,
            "video_id": VIDEO,
            "day": DAY,
            "pctr": Column("double", "predicted probability of a click"),
            "pcvr": Column("double", "predicted share of the video watched after a click"),
        },
        ("run_id", "day"),
        "a p<task> column (double) for each further task",
    ),
    layout.CALIBRATION: Table(
        "predict",
        "Isotonic calibration of each model's predictions, fitted on validation rows: a row a knot of the curve",
        {
            "run_id": RUN,
            "model": MODEL,
            "task": TASK,
            "place": Column("integer", "order of the knots, from 0, by rising prediction"),
            "prediction": Column("double", "the prediction; the curve is straight between knots, level beyond them"),
            "calibrated": Column("double", "what it is calibrated to"),
        },
        ("run_id",),
    ),
    layout.EVALUATIONS: Table(
        "evaluate",
        "Figures of each model of a run on the test days",
        {
            "run_id": RUN,
            "model": Column("string", "a model of the run, or truth: the synthetic generator's own probabilities"),
            "task": TASK,
            "metric": METRIC,
            "value": Column("double", "the figure"),
            **ends("ci_low", "ci_high", "over the test rows"),
            "n": Column("long", "test rows that the figure is of"),
            "baseline": Column("string", "the model that gain is against"),
            "gain": Column("double", "(value - baseline) / baseline; less is better for mse, log_loss, ece"),
        },
        ("run_id",),
    ),
    layout.SLICES: Table(
        "evaluate",
        "Calibration and errors of each model of a run on parts of the test rows",
        {
            "run_id": RUN,
            "model": MODEL,
            "task": TASK,
            "slice": Column("string", "all, prediction or calibrated (in 20 bins), or a column of `slices`"),
            "part": Column("string", "the part"),
            "place": Column("integer", "order of the parts of a slice"),
            "n": Column("long", "rows of the part that have a label"),
            "label": Column("double", "mean label"),
            "prediction": Column("double", "mean prediction"),
            **mean("bias", "prediction - label"),
            **mean("mse", "squared error"),
            **mean("log_loss", "log loss"),
        },
        ("run_id",),
    ),
    layout.MASKS: Table(
        "evaluate",
        "Figures of the masks of each model of a run, one a row",
        {
            "run_id": RUN,
            "model": MODEL,
            "task": Column("string", "the task, or the two tasks (ctr+cvr) that the figure lies between"),
            "round": Column("integer", "the pruning round; null: the masks that the tasks were given in the end"),
            "layer": Column("string", "the layer; all: the whole net"),
            "input": Column("string", "the field or cross that loaders these connections; null: all of the layer"),
            "figure": Column("string", "density, validation, chosen, jaccard, chance, shared, <task>_only, cosine_*"),
            "value": Column("double", "the figure"),
        },
        ("run_id",),
    ),
    layout.COMPARISONS: Table(
        "compare",
        "Figures of each model of a comparison, by seed; rows are only ever appended",
        {
            "comparison_id": COMPARISON,
            "made_at": MADE_AT,
            "run_id": RUN,
            "seed": Column("long", "train.seed of the run"),
            "model": MODEL,
            "task": TASK,
            "metric": METRIC,
            "value": Column("double", "the figure on the test days"),
            "parameters": Column("long", "weights that the model uses"),
            "density": Column("double", "share of the FC weights that a task uses, mean over tasks"),
            "seconds": Column("double", "of training, search included"),
            "tuned": Column("string", "keys that a search on validation set, as JSON"),
            "conf": Column("string", "digest of the configuration that the model was trained with"),
            "tables": Column("string", "versions of the tables that it was trained on, as JSON"),
            "git": Column("string", "commit of the code, if known"),
        },
    ),
    layout.DIFFERENCES: Table(
        "compare",
        "Differences between models of a comparison, means over seeds; rows are only ever appended",
        {
            "comparison_id": COMPARISON,
            "made_at": MADE_AT,
            "model": MODEL,
            "reference": Column("string", "the model that it is compared with"),
            "task": TASK,
            "metric": METRIC,
            "difference": Column("double", "model less reference"),
            "relative": Column("double", "difference / reference"),
            **ends("low", "high", "over seeds and test rows together"),
            **ends("seeds_low", "seeds_high", "over seeds alone"),
            **ends("rows_low", "rows_high", "over test rows alone"),
            "better": Column("boolean", "true or false where the interval excludes 0, else null"),
        },
    ),
    layout.SIMULATIONS: Table(
        "simulate",
        "Ranking simulations: a row an arm, day and metric; rows are only ever appended",
        {
            "simulation_id": Column("string", "id of the simulation: run, models and settings decide it"),
            "run_id": RUN,
            "made_at": MADE_AT,
            "arm": Column("string", "what ranks: a numbered pair of models, A/A, oracle or random"),
            "pctr_model": Column("string", "the model whose pCTR ranks; null for oracle and random"),
            "pcvr_model": Column("string", "the model whose pCVR ranks; null for oracle and random"),
            "day": Column("long", "day of the simulation, from 1; figures are of all days up to it"),
            "users": Column("long", "users of the arm that have visited"),
            "metric": Column("string", "view_seconds (a visit), cvr (of clicks) or ctr (of videos shown)"),
            "value": Column("double", "the figure of the arm's own users"),
            **estimate("test", "between buckets of users, as an A/B test sees it"),
            **estimate("paired", "over all users, each asked by every arm"),
            "sample_ratio": Column("double", "p value of the users' split over the arms"),
        },
    ),
    layout.VERDICTS: Table(
        "validate",
        "What the gate said of each day of a table, each time it was asked; rows are only ever appended",
        {
            "table": Column("string", "the table that was checked"),
            "day": Column("string", "the day, or all of a table without days"),
            "version": Column("long", "version of the table that was read"),
            "outcome": Column("string", "pass, warn or stop"),
            "failures": Column("string", "the expectations that were not met, as a JSON list"),
            "run": Column("string", "name of the run's pages in Data Docs"),
            "checked": Column("timestamp", "when"),
        },
    ),
}


def table_of(name: str) -> Table:
    """What a table holds; the samples of a further task follow from its name, of any other nothing is known."""
    if name.startswith("gold/") and name.endswith("_samples") and name not in TABLES:
        task = name.removeprefix("gold/").removesuffix("_samples")
        return samples_of(task, f"Samples of {task}", Column("float", "its label"))
    return TABLES.get(name, Table("", "", {}))
