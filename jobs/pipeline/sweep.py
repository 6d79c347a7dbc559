"""Compare models along the values of one key of the configuration, and draw the curves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobs.job import Job
from jobs.pipeline import compare
from jobs.stage import daily_flow
from ncs.config import digest, parse
from ncs.errors import ConfigError
from ncs.evaluation import curves, index
from ncs.evaluation.comparison_page import Comparison
from ncs.evaluation.index import Entry
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.runs.run import Run

_OF_THE_DATA = ("logs", "labels", "split", "fields", "encode", "tasks")


def run(job: Job, key: str, listed: str) -> None:
    """A comparison for each value, then the table and the curves of all."""
    values = parse(listed, "--values")
    if not isinstance(values, list) or not values:
        raise ConfigError(f"--values: a YAML list, such as '[0.1, 0.5]', not {values!r}")
    jobs = [_with(job, key, value) for value in values]
    comparisons, pinned = [], dict[Lake, Mapping[str, int]]()
    for value, other in zip(values, jobs, strict=True):
        if other.lake != job.lake:
            other.lake.bind(other.conf)
            for stage in daily_flow(by_day=True):
                stage.run(other)
            other.check_blocked()
        if other.lake not in pinned:
            pinned[other.lake] = Run.of(other.conf, other.lake).versions
        comparisons.append((value, compare.compare(other, pinned[other.lake])))
        job.say(f"sweep: {key} {value} is compared")
    _write(job, key, comparisons, digest([values, job.conf.digest()]))


def _write(job: Job, key: str, sweep: Sequence[tuple[Any, Comparison]], sweep_id: str) -> None:
    """Print the table; keep it, the curves and the page, and list the page in the index."""
    name = f"sweep-{key}-{sweep_id}"
    folder, table = job.lake.uri("reports", name), curves.as_table(key, sweep)
    pictures = curves.draw(key, sweep, sweep[0][1].baseline)
    storage.write_bytes(storage.join(folder, "sweep.md"), f"{table}\n".encode())
    for score, picture in pictures.items():
        storage.write_bytes(storage.join(folder, f"{score}.svg"), picture.encode())
    storage.write_bytes(storage.join(folder, "sweep.html"), curves.render(key, sweep, list(pictures.values())).encode())
    made_at = max(comparison.made_at for _, comparison in sweep)
    detail = f"{key} in {', '.join(str(value) for value, _ in sweep)}; {', '.join(sweep[0][1].models)}"
    sweep_name, headline = name.removeprefix("sweep-"), curves.headline(sweep)
    index.add(job.lake, Entry(index.SWEEP, sweep_name, made_at, f"{name}/sweep.html", headline, detail))
    print(table)
    print(f"verdict: {headline}")
    print(f"sweep: {storage.join(folder, 'sweep.html')}")


def _with(job: Job, key: str, value: Any) -> Job:
    """The job with the key set, on its own lake if the data hang on it. Spark is started once, for all."""
    conf = job.conf.with_keys({key: value})
    lake = job.lake
    if key.split(".")[0] in _OF_THE_DATA:
        lake = Lake.at(job.lake.uri("sweeps", f"{key}-{digest(value)}"))
    return replace(job, conf=conf, lake=lake, days=conf.logs.days, blocked={})
