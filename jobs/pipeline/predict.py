"""Score the test days with every model of the newest run; predictions go to gold/predictions."""

import pyarrow  # noqa: F401  (before torch: the other order has crashed)

from jobs.job import Job
from jobs.pipeline import predict_days
from jobs.pipeline.champion import champion_beside
from jobs.pipeline.predict_days import encoded_for, predictions
from jobs.pipeline.runs import folders, latest_run, predictions_provenance
from ncs.config import Config
from ncs.errors import DataError
from ncs.evaluation import calibration
from ncs.evaluation.calibration import fit
from ncs.lake import layout
from ncs.lake.currency import is_current
from ncs.lake.documents import RunDescription
from ncs.lake.layout import ALL, Record
from ncs.lake.tables import declared_table
from ncs.lake.vocabulary import is_successor
from ncs.lake.writer import replace_models, replace_run
from ncs.tasks import CTR, named_tasks


def run(job: Job) -> None:
    """Score the test days with the run's models, and with the champion that they are compared with."""
    described = latest_run(job.lake)
    conf = described.configuration
    _predict(job, described, conf)
    champion = champion_beside(job.lake, described.run_id, conf)
    if champion and champion.other:
        predict_days.predict(job, [champion.other], list(conf.test_days))


def _predict(job: Job, described: RunDescription, conf: Config) -> None:
    """Score the test days, unless this run's predictions of them are there."""
    run_id = described.run_id
    days, tasks = conf.test_days, named_tasks(conf)
    shown = tasks[CTR].table  # every impression
    vocabulary = {key: record.facts for key, (_, record) in job.lake.records(layout.VOCABULARY).items()}
    if not is_successor(vocabulary.get(ALL, {}), described.vocabulary.get(ALL, {})):
        raise DataError(
            f"{layout.VOCABULARY} has changed since run {run_id} was trained, so its ids mean other values now; "
            f"run `ncs train` on the samples as they are"
        )
    provenance = predictions_provenance(job.lake, described, conf)
    missing = [str(day) for day in days if f"{shown}/{day}" not in provenance["inputs"]]
    if missing:
        raise DataError(f"{shown} lacks the test days {', '.join(missing)}; run `ncs encode` on them")
    if job.conf.calibration is not None:
        _calibrate(job, described, conf)
    if is_current(job.lake, layout.PREDICTIONS, run_id, provenance):
        job.say(f"predict: {run_id} has scored {days} already")
        return
    from ncs.runs.predictor import Predictor

    folder = job.lake.uri("models", run_id)
    scorers = {model: Predictor.load(folder, model, conf, described.sizes) for model in described.models}
    samples = job.read(shown, days=days)
    if vocabulary != described.vocabulary:  # it has grown: gold may hold ids that the models do not know
        samples = encoded_for(job, described, conf, list(days))
    rows = predictions(job, samples, conf, run_id, scorers, list(days))
    record = Record("predict", run_id, provenance)
    replace_models(rows, job.lake.uri(layout.PREDICTIONS), [record], run_id, list(scorers), list(days))
    job.say(f"predict: {len(scorers)} models scored {days}, in {job.lake.uri(layout.PREDICTIONS)}")


def _calibrate(job: Job, described: RunDescription, conf: Config) -> None:
    """Fit the curves of the run's models on the predictions of validation rows that training has kept."""
    run_id, own = described.run_id, folders(described, conf)
    provenance = {"models": list(own.values())}
    if is_current(job.lake, layout.CALIBRATION, run_id, provenance):
        return
    from ncs.runs.predictor import validation_rows

    curves = {
        (model, task): fit(*validation_rows(job.lake.uri("models", run_id, folder), task))
        for model, folder in own.items()
        for task in named_tasks(conf)
    }
    frame = job.spark.createDataFrame(calibration.as_rows(run_id, curves), declared_table(layout.CALIBRATION).ddl)
    replace_run(frame, job.lake.uri(layout.CALIBRATION), Record("predict", run_id, provenance), ("run_id",))
    job.say(f"predict: calibration fitted on validation rows, in {job.lake.uri(layout.CALIBRATION)}")
