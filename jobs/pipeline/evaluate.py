"""Compare the models of the newest run on the test days; figures go to gold/evaluations, the report beside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Job
from jobs.pipeline import report
from jobs.pipeline.runs import evaluation_from, folders, latest_run
from ncs import config
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.evaluation import calibration, masks, parts
from ncs.evaluation.calibration import Curves
from ncs.evaluation.metrics import TRUTH, evaluate
from ncs.evaluation.report import Trained, warnings
from ncs.evaluation.table import as_text
from ncs.features.encoding import label_of
from ncs.lake import layout, storage
from ncs.lake.currency import stale
from ncs.lake.layout import Record
from ncs.lake.tables import table_of
from ncs.lake.tables.rows import Figure
from ncs.lake.writer import replace_run
from ncs.logs.files import spark_path
from ncs.tasks import CTR, CVR, tasks_of


def run(job: Job) -> None:
    """Evaluate, unless it is done for these predictions; print the comparison either way."""
    described = latest_run(job.lake)
    run_id, conf = described["run_id"], config.of_run(described)
    tasks, models = list(tasks_of(conf).values()), folders(described, conf)
    if run_id not in job.lake.records(layout.PREDICTIONS):
        raise DataError(f"{layout.PREDICTIONS} has nothing of run {run_id}; run `ncs predict`")
    curves, slices = _curves(job, run_id), parts.slices_of(job.lake, job.conf.slices)  # of the run they may be older
    provenance = evaluation_from(job.lake, described, conf, slices, calibrated=bool(curves))
    path = report.path_of(job.lake, run_id)
    wanted = {layout.EVALUATIONS: {run_id: provenance}}
    if not stale(job.lake, wanted, beside=[layout.SLICES, layout.MASKS]) and storage.exists(path):
        rows = job.table_of(layout.EVALUATIONS).where(F.col("run_id") == run_id)
        figures = [Figure(**row.asDict()) for row in rows.collect()]
    else:
        own = {parts.OWN + name: edges for name, edges in slices.items()}
        found = evaluate(_scored(job, run_id, conf, slices), run_id, list(models), tasks, own, curves)
        figures, record = found.figures, Record("evaluate", run_id, provenance)
        _write(job, layout.SLICES, [asdict(one) for one in found.parts], record)
        _write(job, layout.MASKS, _masks(run_id, report.trained(job.lake, run_id, models)), record)
        _write(job, layout.EVALUATIONS, [asdict(one) for one in figures], record)  # last: it says done
    print(as_text(figures, list(models), tasks))
    by_key = {(one.model, one.task): one for one in figures if one.metric == tasks_of(conf)[one.task].metric}
    for sentence in warnings(by_key, list(models), report.trained(job.lake, run_id, models), tasks):
        print(f"warning: {sentence}")
    report.write(job, described, models, figures, provenance["inputs"])
    print(f"report: {path}")


def _curves(job: Job, run_id: str) -> Curves:
    """The curves that `calibration` asks for; none if it does not."""
    if job.conf.calibration is None:
        return {}
    if run_id not in job.lake.records(layout.CALIBRATION):
        raise DataError(f"calibration is on, {layout.CALIBRATION} has nothing of run {run_id}; run `ncs predict`")
    rows = job.table_of(layout.CALIBRATION).where(F.col("run_id") == run_id).collect()
    return calibration.from_rows(row.asDict() for row in rows)


def _scored(job: Job, run_id: str, conf: Config, slices: Iterable[str]) -> DataFrame:
    """The test days' predictions with their labels; for synthetic logs the truth's too, as a model of its own."""
    tasks, days = tasks_of(conf), conf.test_days
    samples = parts.with_histories(_samples(job, days), _samples(job, conf.train_days))
    labels = [label_of(task).alias(task.label) for task in tasks.values()]
    sliced = [F.col(name).alias(parts.OWN + name) for name in slices]
    rows = samples.select("impression_id", "user_id", *sliced, *labels)
    predictions = job.table_of(layout.PREDICTIONS).where((F.col("run_id") == run_id) & F.col("day").isin(*days))
    predictions = predictions.select("impression_id", "model", *[task.prediction for task in tasks.values()])
    # A left join: predictions without a sample are counted and refused, not lost.
    scored = predictions.join(rows, "impression_id", "left")
    paths = [job.lake.uri("landing", "truth", f"day={day}") for day in days]
    known = (tasks[CTR].expression, tasks[CVR].expression) == ("clicked", "cvr")  # another label has no known truth
    if not known or not all(storage.exists(path) for path in paths):
        return scored
    truth = job.spark.read.parquet(*map(spark_path, paths)).select(
        "impression_id",
        F.lit(TRUTH).alias("model"),
        F.col("click_probability").alias("pctr"),
        F.col("expected_cvr").alias("pcvr"),
    )
    return scored.unionByName(truth.join(rows, "impression_id"), allowMissingColumns=True)


def _samples(job: Job, days: Days) -> DataFrame:
    return job.table_of(layout.SAMPLES).where(F.col("day").isin(*days))


def _write(job: Job, table: str, rows: Sequence[dict[str, Any]], record: Record) -> None:
    """Put rows in the place of the run's."""
    frame = job.spark.createDataFrame(rows, table_of(table).ddl)
    replace_run(frame, job.lake.uri(table), record, ("run_id",))


def _masks(run_id: str, trained: Mapping[str, Trained]) -> list[dict[str, Any]]:
    return [
        {"run_id": run_id, "model": model, **figure._asdict()}
        for model, one in trained.items()
        if one.masks
        for figure in masks.mask_figures(one.masks, one.conflict)
    ]
