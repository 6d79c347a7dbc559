"""The run that the stages after training work on, and the provenance of what they write."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jobs.job import Job
from ncs.config import Config
from ncs.errors import DataError, NcsError
from ncs.lake import layout, manifest, storage
from ncs.lake.currency import Wanted
from ncs.lake.documents import Latest, RunDescription, read_document
from ncs.lake.layout import Lake
from ncs.tasks import CTR, named_tasks


def latest_run(lake: Lake) -> RunDescription:
    """The description (`run.json`) of the run that `ncs train` finished last."""
    return read_run(lake, None)


def read_run(lake: Lake, run_id: str | None, verify: bool = True) -> RunDescription:
    """The description of a run by its id, or of the one that `ncs train` finished last.

    With `verify` its files are compared with its manifest. Raises DataError if it is not there, was never finished, or
    has a file that is missing, broken, or another than training has written.
    """
    if run_id is not None:
        finished = [name for name in storage.folders(lake.uri("models")) if storage.exists(_described(lake, name))]
        if run_id not in finished:
            there = f"has {', '.join(finished)}" if finished else "has none"
            raise DataError(f"{lake.uri('models')} holds no finished run {run_id!r}, it {there}; name one, or train it")
        return _read(lake, run_id, verify)
    path = lake.uri("models", "latest.json")
    if not storage.exists(path):
        raise DataError(f"the lake {lake.root} has no trained run; run `ncs train`")
    latest = storage.read_json(path, Latest, "run `ncs train`, which writes it again")
    return _read(lake, layout.check_run_id(latest["run_id"], path), verify)


def _read(lake: Lake, run_id: str, verify: bool) -> RunDescription:
    """A run's description. Raises DataError if it is that of another run than the one in whose folder it stands.

    Its `configuration` is checked when it is asked for: names and expressions, as those of a file.
    """
    if verify:
        manifest.verify(lake.uri("models", run_id))
    path, remedy = _described(lake, run_id), "restore it, or run `ncs train`, which writes it again"
    described = read_document(path, RunDescription, remedy)
    if layout.check_run_id(described.run_id, path) != run_id:
        raise DataError(f"{path} describes the run {described.run_id!r}, its folder is that of {run_id}; {remedy}")
    return described


def _described(lake: Lake, run_id: str) -> str:
    return lake.uri("models", run_id, "run.json")


def folders(described: RunDescription, conf: Config) -> dict[str, str]:
    """The models of a run, and what the folder of each in the run's is called: another definition has another."""
    for model in described.models:
        if model not in conf.models:
            raise DataError(
                f"run {described.run_id} holds {model}, which its configuration no longer names; put it back "
                f"under models and run `ncs train`"
            )
    return {model: conf.models[model].key(model) for model in described.models}


def predictions_provenance(lake: Lake, described: RunDescription, conf: Config) -> dict[str, Any]:
    """The provenance of a run's predictions: its models, and the test days as they are now."""
    return {
        "models": list(folders(described, conf).values()),
        "tables": described.lineage.tables,
        "inputs": lake.inputs(named_tasks(conf)[CTR].table, layout.SAMPLES, days=conf.test_days),
    }


def predictions_wanted(job: Job) -> dict[str, Wanted]:
    """The provenance that the predictions of the newest run would have now."""
    return {layout.PREDICTIONS: _of_newest(job, partial(predictions_provenance, job.lake))}


def evaluation_wanted(job: Job) -> dict[str, Wanted]:
    """The provenance that the evaluation of the newest run would have now."""

    def provenance(described: RunDescription, conf: Config) -> dict[str, Any]:
        from jobs.pipeline.champion import predictions_beside
        from ncs.evaluation.parts import available_slices  # imports Spark, which the stages that train need not

        slices = available_slices(job.lake, job.conf.slices)
        _, beside = predictions_beside(job.lake, described.run_id, conf)
        return evaluation_provenance(job, described, conf, slices, job.conf.calibration is not None, beside)

    return {layout.EVALUATIONS: _of_newest(job, provenance)}


def _of_newest(job: Job, provenance: Callable[[RunDescription, Config], dict[str, Any]]) -> Wanted:
    """The id of the newest run -> the provenance of a table's rows of it; empty before one was trained."""
    if not storage.exists(job.lake.uri("models", "latest.json")):
        return {}
    run_id = "newest"
    try:
        described = read_run(job.lake, None, verify=False)
        run_id = described.run_id
        return {run_id: provenance(described, described.configuration)}
    except NcsError as err:  # of another version, say: no reason to keep silent about the tables
        return {run_id: DataError(str(err))}


def evaluation_provenance(
    job: Job,
    described: RunDescription,
    conf: Config,
    slices: Mapping[str, Any],
    calibrated: bool,
    champion: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The provenance of a run's evaluation: predictions, labels, and the slices and calibration asked for.

    `champion`: the predictions of the model in service that it is compared with, if there are such.
    """
    lake, run_id = job.lake, described.run_id
    predictions = lake.records(layout.PREDICTIONS).get(run_id)
    inputs = {f"{layout.PREDICTIONS}/{run_id}": predictions[0]} if predictions else {}
    provenance: dict[str, Any] = {
        "inputs": inputs | lake.inputs(layout.SAMPLES, days=conf.learning_days),
        "models": list(folders(described, conf).values()),
        "slices": dict(slices),
        "differences": 2,  # how they are computed
        **job.conf.part("compare.rows"),
    }
    if calibrated and run_id in (fitted := lake.records(layout.CALIBRATION)):
        provenance["calibration"] = fitted[run_id][0]
    return provenance | ({"champion": dict(champion)} if champion else {})
