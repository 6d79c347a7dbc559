"""Compare the models of the newest run on the test days; figures go to gold/evaluations, the report beside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Job
from jobs.pipeline import report
from jobs.pipeline.champion import Champion, from_champion, predictions_beside, with_champion
from jobs.pipeline.runs import evaluation_provenance, folders, latest_run
from ncs.config import Config
from ncs.errors import DataError
from ncs.evaluation import calibration, masks, parts, scored_rows
from ncs.evaluation.calibration import Curves
from ncs.evaluation.metrics import evaluate
from ncs.evaluation.models import TRUTH
from ncs.evaluation.report import Trained
from ncs.evaluation.tables import as_text
from ncs.evaluation.trained import unsound_models
from ncs.evaluation.verdict import Evidence, verdict
from ncs.features.encoding import label_column
from ncs.lake import layout, storage
from ncs.lake.currency import stale
from ncs.lake.documents import RunDescription
from ncs.lake.layout import Record
from ncs.lake.tables import declared_table
from ncs.lake.tables.rows import Figure, RunDifference
from ncs.lake.writer import replace_run
from ncs.logs.files import spark_path
from ncs.tasks import CTR, CVR, Task, named_tasks
from ncs.threads import together


def run(job: Job) -> None:
    """Evaluate, unless it is done for these predictions; print the comparison either way."""
    described = latest_run(job.lake)
    run_id, conf = described.run_id, described.configuration
    tasks, models = list(named_tasks(conf).values()), folders(described, conf)
    if run_id not in job.lake.records(layout.PREDICTIONS):
        raise DataError(f"{layout.PREDICTIONS} has nothing of run {run_id}; run `ncs predict`")
    # By this configuration: the run's own may be older.
    curves, slices = _curves(job, run_id), parts.available_slices(job.lake, job.conf.slices)
    champion, beside_it = predictions_beside(job.lake, run_id, conf)
    provenance = evaluation_provenance(job, described, conf, slices, bool(curves), beside_it)
    path = report.page_path(job.lake, run_id)
    wanted, beside = {layout.EVALUATIONS: {run_id: provenance}}, [layout.RUN_DIFFERENCES, layout.SLICES, layout.MASKS]
    if stale(job.lake, wanted, beside) or not storage.exists(path):
        own = {parts.OWN + name: edges for name, edges in slices.items()}
        scored = _scored(job, run_id, conf, slices)
        evaluation = evaluate(scored, run_id, list(models), tasks, own, curves)
        figures, record = evaluation.figures, Record("evaluate", run_id, provenance)
        differences = _differences(job, described, scored, figures, champion)
        trained = report.trained(job.lake, run_id, models)
        beside_figures = {
            layout.RUN_DIFFERENCES: [asdict(row) for row in differences],
            layout.SLICES: [asdict(row) for row in evaluation.parts],
            layout.MASKS: _masks(run_id, trained),
        }
        together(lambda table: _write(job, table, beside_figures[table], record), beside_figures)
        _write(job, layout.EVALUATIONS, [asdict(row) for row in figures], record)  # last: it says done
    else:  # without Spark: `ncs run` with nothing to do starts no JVM
        figures = [Figure(**row) for row in job.lake.rows_of_run(layout.EVALUATIONS, run_id)]
        differences = [RunDifference(**row) for row in job.lake.rows_of_run(layout.RUN_DIFFERENCES, run_id)]
        trained = report.trained(job.lake, run_id, models)
    evidence = _evidence(figures, differences, list(models), tasks, trained)
    evidence = with_champion(evidence, run_id, champion)
    print("\n".join([as_text(figures, list(models), tasks), "", *verdict(evidence).lines()]))
    report.write(job, described, trained, figures, evidence, provenance["inputs"])
    print(f"report: {path}")


def _differences(
    job: Job, described: RunDescription, scored: DataFrame, figures: Sequence[Figure], champion: Champion | None
) -> list[RunDifference]:
    """The paired differences of the run's models, from the champion too, over at most `compare.rows` impressions."""
    conf, models = described.configuration, list(described.models)
    tasks = list(named_tasks(conf).values())
    beside = champion if champion and champion.other else None
    if beside:
        scored = scored.unionByName(_champions(job, beside, conf), allowMissingColumns=True)
        models.append(beside.name)
    if len(models) < 2:
        return []
    rows = scored_rows.collect(scored, models, tasks, _impressions(figures), job.conf.compare.rows)
    differences = scored_rows.run_differences(rows, described.run_id, tasks)
    return from_champion(differences, beside) if beside else differences


def _champions(job: Job, champion: Champion, conf: Config) -> DataFrame:
    """The champion's predictions of the test days with their labels, as those of a model of the run."""
    days, tasks = conf.test_days, list(named_tasks(conf).values())
    ref = champion.ref
    of_it = (F.col("run_id") == ref.run_id) & (F.col("model") == ref.model)
    predictions = job.read(layout.PREDICTIONS, days=days).where(of_it)
    predictions = predictions.select(
        "impression_id", F.lit(champion.name).alias("model"), *[task.prediction for task in tasks]
    )
    samples, labels = job.read(layout.SAMPLES, days=days), [label_column(task).alias(task.label) for task in tasks]
    return predictions.join(samples.select("impression_id", *labels), "impression_id", "left")


def _impressions(figures: Sequence[Figure]) -> int:
    """The test impressions, all of which have a CTR label."""
    return max(figure.n for figure in figures if figure.task == CTR)


def _evidence(
    figures: Sequence[Figure],
    differences: Sequence[RunDifference],
    models: Sequence[str],
    tasks: Sequence[Task],
    trained: Mapping[str, Trained],
) -> Evidence:
    """The evidence for the verdict on the run."""
    rows = max((row.n for row in differences), default=_impressions(figures))
    why = unsound_models(figures, {model: trained[model].facts for model in models}, tasks)
    return Evidence(models, differences, tasks, figures[0].baseline, rows, unsound=why)


def _curves(job: Job, run_id: str) -> Curves:
    """The curves that `calibration` asks for; none if it does not."""
    if job.conf.calibration is None:
        return {}
    if run_id not in job.lake.records(layout.CALIBRATION):
        raise DataError(f"calibration is on, {layout.CALIBRATION} has nothing of run {run_id}; run `ncs predict`")
    return calibration.from_rows(job.lake.rows_of_run(layout.CALIBRATION, run_id))


def _scored(job: Job, run_id: str, conf: Config, slices: Iterable[str]) -> DataFrame:
    """The test days' predictions with their labels; for synthetic logs the truth's too, as a model of its own."""
    tasks, days = named_tasks(conf), conf.test_days
    samples = parts.with_histories(job.read(layout.SAMPLES, days=days), job.read(layout.SAMPLES, days=conf.train_days))
    labels = [label_column(task).alias(task.label) for task in tasks.values()]
    sliced = [F.col(name).alias(parts.OWN + name) for name in slices]
    rows = samples.select("impression_id", "user_id", *sliced, *labels)
    predictions = job.read(layout.PREDICTIONS, days=days).where(F.col("run_id") == run_id)
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


def _write(job: Job, table: str, rows: Sequence[dict[str, Any]], record: Record) -> None:
    """Put rows in the place of the run's."""
    frame = job.spark.createDataFrame(rows, declared_table(table).ddl)
    replace_run(frame, job.lake.uri(table), record, ("run_id",))


def _masks(run_id: str, trained: Mapping[str, Trained]) -> list[dict[str, Any]]:
    return [
        {"run_id": run_id, "model": model, **figure._asdict()}
        for model, of_model in trained.items()
        if of_model.masks
        for figure in masks.mask_figures(of_model.masks, of_model.conflict)
    ]
