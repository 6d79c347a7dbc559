"""The next vocabulary after the one before it: it grows, or it is rebuilt."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pyspark.sql import DataFrame

from jobs.job import Job
from ncs.config import digest
from ncs.features.growth import grow, largest_ids
from ncs.kinds import Feature
from ncs.lake import layout
from ncs.lake.content import content
from ncs.lake.layout import ALL, CHANGED, Record
from ncs.lake.vocabulary import LARGEST, LINEAGE, means_the_same
from ncs.tasks import named_tasks


def grows_from(job: Job, before: Record | None, conf: str) -> Mapping[str, Any] | None:
    """The facts of the vocabulary that the next one grows from; None: it is rebuilt.

    It is where the configuration says so, the fields (`conf` is their digest) have changed, or another program has
    changed it.
    """
    if before is None or not job.conf.grows_vocabulary or before.provenance.get("conf") != conf:
        return None
    return before.facts if LINEAGE in before.facts and CHANGED not in before.facts else None


def learnt_features(job: Job, before: Mapping[str, Any] | None) -> dict[str, Feature]:
    """The features that are learnt: of a vocabulary that grows those with ids alone, for edges and scales stay."""
    if before is None:
        return job.conf.features
    return {name: job.conf.fields[name] for name in job.conf.growing_fields}


def with_known(job: Job, learnt: DataFrame, before: Mapping[str, Any] | None) -> DataFrame:
    """What was learnt from the window; where it grows from facts `before`, the values that are known with new ones."""
    if before is None:
        return learnt
    return grow(job.read(layout.VOCABULARY), learnt, job.conf.growing_fields, before[LARGEST])


def facts(job: Job, vocabulary: DataFrame, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The facts in a vocabulary's commit; of one that grows, its lineage and largest ids (`ncs.lake.vocabulary`)."""
    own: dict[str, Any] = {"content": content(vocabulary, "field")}
    if not job.conf.grows_vocabulary:
        return own
    earlier = before or {LINEAGE: digest(own), LARGEST: {}}
    largest = largest_ids(vocabulary)
    kept = {
        field: max(largest.get(field, 0), earlier[LARGEST].get(field, 0)) for field in {*largest, *earlier[LARGEST]}
    }
    return {**own, LINEAGE: earlier[LINEAGE], LARGEST: kept}


def remembered_days(job: Job, last: date) -> list[date]:
    """The labelled days up to `last` whose values keep an id when it is rebuilt, though no model trains on them now."""
    window = job.conf.window
    if window.forget_days is None:
        return []
    labelled, unusable = job.lake.days(layout.SAMPLES), {*window.exclude, *job.blocked}
    return [day for day in labelled if 0 <= (last - day).days < window.forget_days and day not in unusable]


def versions_by_day(job: Job, days: Iterable[date]) -> dict[date, int]:
    """The version of the vocabulary that each day is encoded with: its own, as long as that has only grown since."""
    newest = job.lake.records(layout.VOCABULARY)[ALL][0]
    records = [job.lake.records(task.table) for task in named_tasks(job.conf).values()]
    versions = {}
    for day in days:
        encoded = [of_task[str(day)][1].provenance for of_task in records if str(day) in of_task]
        used = {provenance.get("inputs", {}).get(layout.VOCABULARY, newest) for provenance in encoded}
        (own,) = used if len(used) == 1 else (newest,)
        versions[day] = own if means_the_same(job.lake, own) else newest
    return versions
