"""Estimate what rankings by the newest run's predictions would earn in watch time, from KuaiRand's random logs.

Needs `log_random_*` beside the standard logs, or in the folder `offpolicy.source`, and a trained run (`ncs run`).
The table is kept in `reports/`.
"""

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names


def run(job: Job) -> None:
    """Estimate what rankings would earn, from logs of videos shown at random."""
    from jobs.pipeline import offpolicy

    offpolicy.run(job)


STAGE = Stage(
    name="offpolicy",
    help="Estimate what rankings would earn, from logs of videos shown at random.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=("ncs offpolicy --conf conf/kuairand.yaml --set logs.source=KuaiRand-1K/data --lake lake/kuairand-1k",),
    reads=(names.MODELS, names.VOCABULARY, names.USERS, names.VIDEOS),
)

if __name__ == "__main__":
    STAGE.main()
