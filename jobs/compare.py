"""Train models with several seeds, say which differences are settled; what is trained already is not trained again.

Needs the encoded samples (`ncs run` or `ncs encode`). Each seed is a run of its own, resumed where it was interrupted.
Figures by seed are appended to gold/comparisons, differences to gold/differences; the table is in reports/ too.
Of a synthetic world models are compared on further impressions of the test days, drawn once into gold/drawn_rows, by
their labels and by the world's truth.
"""

from jobs.job import Job
from jobs.stage import Group, Stage, comparison_options, worker_options
from ncs.lake import names


def run(job: Job) -> None:
    """Train models with several seeds, say which differences are settled."""
    from jobs.pipeline import compare

    compare.run(job)


STAGE = Stage(
    name="compare",
    help="Train models with several seeds, say which differences are settled.",
    details=__doc__,
    group=Group.TRAINING,
    run=run,
    examples=("ncs compare --conf conf/demo.yaml --lake lake/demo --models all --seeds 5",),
    arguments=(
        *comparison_options(),
        *worker_options(),
    ),
    reads=(names.VOCABULARY, names.ENCODED),
    writes=(names.DRAWN_ROWS, names.COMPARISONS, names.DIFFERENCES),
)

if __name__ == "__main__":
    STAGE.main()
