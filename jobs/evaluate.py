"""Compare the models of the newest run on the test days; figures go to gold/evaluations, the report beside.

After `ncs simulate` the same command puts the simulation into the report.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.lake import names

if TYPE_CHECKING:
    from ncs.lake.currency import Wanted


def run(job: Job) -> None:
    """Compare the models, write the report."""
    from jobs.pipeline import evaluate

    evaluate.run(job)


def wanted(job: Job) -> "Mapping[str, Wanted]":
    """What the partitions of its tables would be made from now."""
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
    ),
    reads=(names.MODELS, names.SAMPLES, names.PREDICTIONS, names.CALIBRATION, names.SIMULATIONS),
    writes=(names.EVALUATIONS, names.RUN_DIFFERENCES, names.SLICES, names.MASKS),
    daily=Daily(),
    wanted=wanted,
)

if __name__ == "__main__":
    STAGE.main()
