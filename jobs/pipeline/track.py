"""Log a finished run to MLflow: one MLflow run a model, with parameters, figures by epoch and round, masks, lineage."""

from jobs.job import Job
from jobs.pipeline import report
from jobs.pipeline.runs import folders, read_run
from ncs import tracking
from ncs.errors import ConfigError
from ncs.lake import layout, storage
from ncs.lake.documents import RunDescription
from ncs.lake.layout import Lake
from ncs.tracking import Point, Tracked


def run(job: Job, run_id: str | None = None) -> None:
    """Log every model of the run. Raises ConfigError if `track.uri` names no place."""
    uri, experiment = job.conf.track.uri, job.conf.track.experiment
    if uri is None:
        raise ConfigError("track.uri is null; name an MLflow server (http://..., databricks) or a folder (file:/...)")
    described = read_run(job.lake, run_id)
    for model, key in folders(described, described.configuration).items():
        logged = tracking.log(uri, experiment, tracked(job.lake, described, model, key))
        job.say(f"track: {model} of {described.run_id} {'logged' if logged else 'is there already'}, {uri}")


def tracked(lake: Lake, described: RunDescription, model: str, key: str) -> Tracked:
    """What is logged of a model; `key` is its folder in the run's."""
    run_id, conf = described.run_id, described.configuration
    folder = lake.uri("models", run_id, key)
    paths = {
        name: storage.join(folder, name) for name in ("metrics.jsonl", "masks.json", "conflict.json", "facts.json")
    }
    paths |= {"run.json": lake.uri("models", run_id, "run.json"), "report.html": report.page_path(lake, run_id)}
    files = {name: storage.read_bytes(path).decode() for name, path in paths.items() if storage.exists(path)}
    own = report.trained(lake, run_id, {model: key})[model]
    points = [*tracking.points(own.metrics, own.masks), *_test_figures(lake, run_id, model)]
    name = f"{run_id} {model}"
    return Tracked(
        name, tracking.parameters(conf.for_model(model)), points, tracking.tags(described, model, folder), files
    )


def _test_figures(lake: Lake, run_id: str, model: str) -> list[Point]:
    """The figures of gold/evaluations, with their intervals' ends; none before `ncs evaluate`."""
    if run_id not in lake.records(layout.EVALUATIONS):
        return []
    columns = ["model", "task", "metric", "value", "ci_low", "ci_high"]
    version, partition = lake.version(layout.EVALUATIONS), [("run_id", "=", run_id)]
    rows = lake.read(layout.EVALUATIONS, version, columns, partition).to_pylist()
    ends = {"value": "", "ci_low": ".low", "ci_high": ".high"}
    mine = [row for row in rows if row["model"] == model]
    return [
        Point(f"test.{row['task']}_{row['metric']}{end}", row[name], 0) for row in mine for name, end in ends.items()
    ]
