"""Write synthetic logs with a known truth into the lake's landing folders; days that are there are skipped."""

import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pyarrow.parquet as pq

from jobs.job import Job
from ncs.lake import storage
from ncs.logs.synthetic import Rows, generate_day, profiles

_DAY_LOGS = ("impressions", "clicks", "plays", "truth")


def run(job: Job) -> None:
    """Generate users, videos and the job's days, each where its marker does not say that it is complete."""
    logs = job.conf.logs
    if logs.source is not None:
        job.say(f"generate: nothing to do, the logs are those of {logs.source} (logs.source)")
        return
    written = _write(job, "profiles", ["users", "videos"], lambda: profiles(logs))
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


def _of_day(job: Job, day: date) -> Callable[[], Mapping[str, Rows]]:
    return lambda: generate_day(job.conf.logs, day)


def _write(job: Job, what: str, folders: list[str], make: Callable[[], Mapping[str, Rows]]) -> int:
    """Write each log to its folder unless all are complete. Returns how many folders were written."""
    marker, provenance = _marker(job, what), _provenance(job)
    uris = [storage.join(job.lake.landing, folder) for folder in folders]
    if storage.derived_json(marker) == provenance and all(map(storage.files, uris)):
        return 0
    parts = []
    for uri, rows in zip(uris, make().values(), strict=True):
        storage.remove(uri)
        parts += [(uri, n, rows, ids) for n, ids in enumerate(rows.parts)]
    with ThreadPoolExecutor() as pool:  # numpy and Arrow compute side by side
        list(pool.map(lambda part: _write_part(*part), parts))
    storage.write_json(marker, provenance)  # last: killed before it, all of it is written again
    return len(uris)


def _write_part(uri: str, n: int, rows: Rows, ids: range) -> None:
    file = io.BytesIO()
    pq.write_table(rows.table(ids), file)
    storage.write_bytes(storage.join(uri, f"part-{n:05d}.parquet"), file.getvalue())
