"""Let synthetic users answer to rankings by the newest run's predictions: view time, CVR, CTR (the paper's Table 3).

Appends to gold/simulations; nothing there is ever overwritten. Starts no Spark.
"""

from jobs.job import Job
from jobs.stage import Group, Stage, model_option
from ncs.lake import names


def run(job: Job, model: str | None = None) -> None:
    """Let synthetic users answer to rankings by a model's predictions."""
    from jobs.pipeline import simulate

    simulate.run(job, model)


STAGE = Stage(
    name="simulate",
    help="Let synthetic users answer to rankings by the newest run's predictions.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=(
        "ncs simulate --conf conf/demo.yaml --lake lake/demo",
        "ncs simulate --conf conf/demo.yaml --lake lake/demo --model champion",
    ),
    arguments=(model_option(),),
    reads=(names.MODELS, names.VOCABULARY),
    writes=(names.SIMULATIONS,),
)

if __name__ == "__main__":
    STAGE.main()
