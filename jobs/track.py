"""Log a finished run to MLflow: one MLflow run a model, with parameters, figures by epoch and round, masks, lineage.

What is logged already is left as it is; after `ncs evaluate` the test figures and the report join it.
"""

import click

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.lake import names


def run(job: Job, run_id: str | None = None) -> None:
    """Log a finished run to MLflow: parameters, figures, masks, data versions."""
    from jobs.pipeline import track

    track.run(job, run_id)


STAGE = Stage(
    name="track",
    help="Log a finished run to MLflow: parameters, figures, masks, data versions.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=(
        "ncs track --conf conf/demo.yaml --lake lake/demo --set track.uri=http://mlflow:5000",
        "ncs track --conf conf/demo.yaml --lake lake/demo --run demo-0123456789ab",
    ),
    arguments=(click.Option(["--run", "run_id"], metavar="ID", help="The run (default: the newest)."),),
    reads=(names.MODELS, names.EVALUATIONS),
    daily=Daily(when=lambda conf: conf.track.uri is not None),
)

if __name__ == "__main__":
    STAGE.main()
