"""Compare the models of the newest run on the test days; figures go to gold/evaluations, the report beside.

With --days or --model it judges a model (by default all of the newest run's) on single days that the model has
predicted and not learnt from: figures with intervals go to gold/progress. After `ncs simulate` the same command,
without these, puts the simulation into the report.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.stage import Daily, Group, Stage, model_option
from ncs.lake import names

if TYPE_CHECKING:
    from ncs.lake.currency import Wanted


def run(job: Job, model: str | None = None) -> None:
    """Compare the models, write the report; or judge a model on single days."""
    from jobs.pipeline import evaluate, progress

    if model is not None or job.days_given:
        progress.run(job, model)
    else:
        evaluate.run(job)


def wanted(job: Job) -> "Mapping[str, Wanted]":
    """The provenance that the partitions of its tables would have now."""
    from jobs.pipeline import runs

    return runs.evaluation_wanted(job)


STAGE = Stage(
    name="evaluate",
    help="Compare the models, write the report.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=(
        "ncs evaluate --conf conf/demo.yaml --lake lake/demo",
        "ncs evaluate --conf conf/demo.yaml --lake lake/demo --set calibration=isotonic",
        "ncs evaluate --conf conf/demo.yaml --lake lake/demo --days 2022-04-16 --model champion",
    ),
    arguments=(model_option(),),
    reads=(names.MODELS, names.SAMPLES, names.PREDICTIONS, names.CALIBRATION, names.SIMULATIONS),
    writes=(names.EVALUATIONS, names.RUN_DIFFERENCES, names.SLICES, names.MASKS, names.PROGRESS),
    daily=Daily(),
    wanted=wanted,
)

if __name__ == "__main__":
    STAGE.main()
