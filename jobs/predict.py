"""Score the test days with every model of the newest run; predictions go to gold/predictions.

With `calibration: isotonic` the validation rows are scored too, and the curves fitted on them go to gold/calibration.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.lake import names

if TYPE_CHECKING:
    from ncs.lake.currency import Wanted


def run(job: Job) -> None:
    """Score the test days with the newest run's models."""
    from jobs.pipeline import predict

    predict.run(job)


def wanted(job: Job) -> "Mapping[str, Wanted]":
    """What the partitions of its tables would be made from now."""
    from jobs.pipeline import runs

    return runs.predictions_wanted(job)


STAGE = Stage(
    name="predict",
    help="Score the test days with the newest run's models.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=("ncs predict --conf conf/demo.yaml --lake lake/demo",),
    reads=(names.MODELS, names.VOCABULARY, names.SAMPLES, names.ENCODED),
    writes=(names.PREDICTIONS, names.CALIBRATION),
    daily=Daily(gate="tables"),
    wanted=wanted,
)

if __name__ == "__main__":
    STAGE.main()
