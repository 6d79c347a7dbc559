"""Score the test days with every model of the newest run; predictions go to gold/predictions.

With --days or --model it scores any labelled days (by default the model's test days) with any kept model (by default
all of the newest run's), each encoded with the vocabulary that the model was trained with.
With `calibration: isotonic` the validation rows are scored too, and the curves fitted on them go to gold/calibration.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.stage import Daily, Group, Stage, model_option
from ncs.lake import names

if TYPE_CHECKING:
    from ncs.lake.currency import Wanted


def run(job: Job, model: str | None = None) -> None:
    """Score the test days with the newest run's models, or any days with any model."""
    from jobs.pipeline import predict, predict_days

    if model is not None or job.days_given:
        predict_days.run(job, model)
    else:
        predict.run(job)


def wanted(job: Job) -> "Mapping[str, Wanted]":
    """The provenance that the partitions of its tables would have now."""
    from jobs.pipeline import runs

    return runs.predictions_wanted(job)


STAGE = Stage(
    name="predict",
    help="Score the test days with the newest run's models.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=(
        "ncs predict --conf conf/demo.yaml --lake lake/demo",
        "ncs predict --conf conf/demo.yaml --lake lake/demo --days 2022-04-16 --model champion",
    ),
    arguments=(model_option(),),
    reads=(names.MODELS, names.VOCABULARY, names.SAMPLES, names.ENCODED),
    writes=(names.PREDICTIONS, names.CALIBRATION),
    daily=Daily(gate="tables"),
    wanted=wanted,
)

if __name__ == "__main__":
    STAGE.main()
