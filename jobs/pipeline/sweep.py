"""Compare models along the values of one key of the configuration, and draw the curves."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jobs.job import Job
from jobs.pipeline import compare
from jobs.stage import daily_flow
from ncs.config import digest, parse
from ncs.errors import ConfigError
from ncs.evaluation import curves
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.runs.run import Run
from ncs.tasks import tasks_of

_OF_THE_DATA = ("logs", "labels", "split", "fields", "encode", "tasks")


def run(job: Job, key: str, listed: str) -> None:
    """A comparison for each value, then the table and the curves of all."""
    values = parse(listed, "--values")
    if not isinstance(values, list) or not values:
        raise ConfigError(f"--values: a YAML list, such as '[0.1, 0.5]', not {values!r}")
    jobs = [_with(job, key, value) for value in values]
    found, pinned = [], dict[Lake, Mapping[str, int]]()
    for value, one in zip(values, jobs, strict=True):
        if one.lake != job.lake:
            one.lake.bind(one.conf)
            for stage in daily_flow(by_day=True):
                stage.run(one)
            one.check_blocked()
        if one.lake not in pinned:
            pinned[one.lake] = Run.of(one.conf, one.lake).versions
        found.append((value, compare.compare(one, pinned[one.lake])))
        job.say(f"sweep: {key} {value} is compared")
    folder = job.lake.uri("reports", f"sweep-{key}-{digest([values, job.conf.digest()])}")
    table = curves.as_table(key, found, tasks_of(job.conf))
    storage.write_bytes(storage.join(folder, "sweep.md"), f"{table}\n".encode())
    for name, picture in curves.draw(key, found, tasks_of(job.conf), job.conf.compare.references[0]).items():
        storage.write_bytes(storage.join(folder, f"{name}.svg"), picture.encode())
    print(table)
    print(f"sweep: {folder}")


def _with(job: Job, key: str, value: Any) -> Job:
    """The job with the key set, on its own lake if the data hang on it. Spark is started once, for all."""
    conf = job.conf.with_keys({key: value})
    lake = job.lake
    if key.split(".")[0] in _OF_THE_DATA:
        lake = Lake.at(job.lake.uri("sweeps", f"{key}-{digest(value)}"))
    return replace(job, conf=conf, lake=lake, days=conf.logs.days, blocked={})
