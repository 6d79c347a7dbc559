"""Write synthetic logs with a known truth into the lake's landing folders; days that are there are skipped."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pyspark.sql import DataFrame

from jobs.job import Job
from ncs.lake import storage
from ncs.logs.synthetic import generate_day, profiles

_DAY_LOGS = ("impressions", "clicks", "plays", "truth")


def run(job: Job) -> None:
    """Generate users, videos and the job's days, each where its marker does not say that it is complete."""
    logs = job.conf.logs
    if logs.source is not None:
        job.say(f"generate: nothing to do, the logs are those of {logs.source} (logs.source)")
        return
    written = _write(job, "profiles", ["users", "videos"], lambda: profiles(job.spark, logs))
    for day in job.progress(job.days, "generate"):
        written += _write(job, str(day), [f"{log}/day={day}" for log in _DAY_LOGS], _of_day(job, day))
    job.say(f"generate: {written} folders written, synthetic logs of {job.days} are in {job.lake.landing}")


def is_generated(job: Job, day: date) -> bool:
    """Whether a day's logs are those that the configured world generates, the whole of them."""
    return job.conf.logs.source is None and storage.derived_json(_marker(job, str(day))) == _provenance(job)


def _marker(job: Job, what: str) -> str:
    return storage.join(job.lake.landing, "_generated", f"{what}.json")


def _provenance(job: Job) -> dict[str, str]:
    return {"conf": job.conf.digest("logs")}


def _of_day(job: Job, day: date) -> Callable[[], dict[str, DataFrame]]:
    return lambda: generate_day(job.spark, job.conf.logs, day)


def _write(job: Job, what: str, folders: list[str], make: Callable[[], dict[str, DataFrame]]) -> int:
    """Write each log to its folder unless all are complete. Returns how many folders were written."""
    marker, provenance = _marker(job, what), _provenance(job)
    uris = [storage.join(job.lake.landing, folder) for folder in folders]
    if storage.derived_json(marker) == provenance and all(map(storage.files, uris)):
        return 0
    with ThreadPoolExecutor(len(uris)) as pool:  # one small log alone would leave cores idle
        list(pool.map(_overwrite, make().values(), uris))
    storage.write_json(marker, provenance)  # last: killed before it, all of it is written again
    return len(uris)


def _overwrite(rows: DataFrame, uri: str) -> None:
    rows.write.mode("overwrite").parquet(uri)
