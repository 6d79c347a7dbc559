"""Compare the systems of the newest run on the test days; figures go to gold/evaluations, the report beside.

spark-submit jobs/evaluate.py --conf conf/demo.yaml --lake lake/demo
"""

import json
import sys
from dataclasses import asdict
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli import main
from jobs.job import Job
from jobs.runs import latest_run
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.evaluation import report
from ncs.evaluation.metrics import SCHEMA, TRUTH, Figure, evaluate
from ncs.evaluation.table import as_text
from ncs.lake import layout, storage
from ncs.lake.layout import Record
from ncs.lake.writer import replace_where


def run(job: Job) -> None:
    """Evaluate, unless it is done for these predictions; print the comparison either way."""
    described = latest_run(job.lake)
    run_id, conf = described["run_id"], Config.model_validate(described["conf"])
    predictions = job.lake.records(layout.PREDICTIONS).get(run_id)
    if not predictions:
        raise DataError(f"{layout.PREDICTIONS} has nothing of run {run_id}; run `ncs predict`")
    inputs = {f"{layout.PREDICTIONS}/{run_id}": predictions[0]} | job.lake.inputs(layout.SAMPLES, days=conf.logs.days)
    done = job.lake.records(layout.EVALUATIONS).get(run_id)
    path = job.lake.uri("reports", run_id, "report.html")
    read = job.spark.read.format("delta")
    if done and done[1].made_from == {"inputs": inputs} and storage.exists(path):
        rows = read.load(job.lake.uri(layout.EVALUATIONS)).where(F.col("run_id") == run_id)
        figures = [Figure(**row.asDict()) for row in rows.collect()]
    else:
        figures = evaluate(_scored(job, run_id, conf.test_days), run_id)
        rows = job.spark.createDataFrame([asdict(one) for one in figures], SCHEMA)
        record = Record("evaluate", run_id, {"inputs": inputs})
        replace_where(rows, job.lake.uri(layout.EVALUATIONS), f"run_id = '{run_id}'", record, ("run_id",))
        page = report.render(
            described, figures, _systems(job, described), report.label_days(_samples(job, conf.logs.days))
        )
        storage.write_bytes(path, page.encode())
    print(as_text(figures, described["systems"]))
    print(f"report: {path}")


def _scored(job: Job, run_id: str, days: Days) -> DataFrame:
    """The test days' predictions with their labels; for synthetic logs the truth's too, as a system of its own."""
    labels = _samples(job, days).select("impression_id", "clicked", "cvr")
    predictions = job.spark.read.format("delta").load(job.lake.uri(layout.PREDICTIONS))
    rows = predictions.where(F.col("run_id") == run_id).select("impression_id", "system", "pctr", "pcvr")
    truth = [job.lake.uri("landing", "truth", f"day={day}") for day in days]
    if all(storage.exists(path) for path in truth):
        rows = rows.unionByName(
            job.spark.read.parquet(*truth).select(
                "impression_id",
                F.lit(TRUTH).alias("system"),
                F.col("click_probability").alias("pctr"),
                F.col("expected_cvr").alias("pcvr"),
            )
        )
    return rows.join(labels, "impression_id")


def _samples(job: Job, days: Days) -> DataFrame:
    samples = job.spark.read.format("delta").load(job.lake.uri(layout.SAMPLES))
    return samples.where(F.col("day").between(days.first, days.last))


def _systems(job: Job, described: dict[str, Any]) -> dict[str, report.Trained]:
    """What training has left of each system: metrics by epoch, and masks where it has them."""
    found = {}
    for system in described["systems"]:
        folder = job.lake.uri("models", described["run_id"], system)
        lines = storage.read_bytes(storage.join(folder, "metrics.jsonl")).decode().splitlines()
        masks = storage.join(folder, "masks.json")
        found[system] = report.Trained(
            [json.loads(line) for line in lines], storage.read_json(masks) if storage.exists(masks) else None
        )
    return found


if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
