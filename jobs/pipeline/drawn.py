"""Impressions of the test days that are drawn from a synthetic world for comparisons alone: as many as are wanted."""

from collections.abc import Mapping
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Job
from jobs.pipeline.encode import days_before, earlier, sample_versions
from jobs.pipeline.generate import is_generated
from ncs.config import digest
from ncs.features.encoding import encode_days
from ncs.lake import currency, layout
from ncs.lake.layout import Record
from ncs.lake.writer import replace_samples
from ncs.logs.synthetic import draw_samples
from ncs.tasks import WORLD_TRUTH, named_tasks


def draw(job: Job, versions: Mapping[str, int]) -> int | None:
    """Draw and encode `compare.test_rows` impressions of the test days, unless they are there.

    They look back to the logged impressions, as these do, and none of them is seen by another.

    Args:
        job: its configuration says which world.
        versions: of the tables that models are compared on; the vocabulary's is that of the encoding.

    Returns:
        The version of gold/drawn_rows; None where the logs are real, or not those that the world would generate, or
        none are wanted: models are then compared on the logged ones.
    """
    conf = job.conf
    days = list(conf.test_days)
    if not conf.compare.test_rows or not all(is_generated(job, day) for day in days):
        return None
    wanted = {str(day): _provenance(job, day, versions[layout.VOCABULARY]) for day in days}
    if currency.stale(job.lake, {layout.DRAWN_ROWS: wanted}):
        rows = reduce(DataFrame.unionByName, (draw_samples(job.spark, conf.logs, day, _count(job)) for day in days))
        vocabulary = job.read(layout.VOCABULARY, versions[layout.VOCABULARY])
        looked = earlier(job, days, drawn=True).join(rows, vocabulary)
        encoded = encode_days(
            looked, vocabulary, conf.features, conf.split, conf.encode, None, named_tasks(conf), WORLD_TRUTH
        )
        records = [Record("compare", day, source) for day, source in wanted.items()]
        uri = job.lake.uri(layout.DRAWN_ROWS)
        replace_samples(encoded.withColumn("split", F.lit("test")), uri, records, [], conf.encode.rows_per_file)
        job.say(f"compare: {_count(job) * len(days):,} impressions of {conf.test_days} drawn, in {uri}")
    return job.lake.version(layout.DRAWN_ROWS)


def _count(job: Job) -> int:
    """Rows per day."""
    return -(-job.conf.compare.test_rows // len(job.conf.test_days))


def _provenance(job: Job, day: date, vocabulary: int) -> dict[str, Any]:
    """The provenance of a day's rows."""
    labels = {task.name: [task.label, task.expression, task.where] for task in named_tasks(job.conf).values()}
    parts = job.conf.part("logs", "fields", "encode", "statistics", "history")
    inputs = sample_versions([*days_before(job, [day]), day], job.lake.records(layout.SAMPLES))
    return {
        "conf": digest([parts, labels, _count(job)]),
        "inputs": {layout.VOCABULARY: vocabulary, **inputs},
    }
