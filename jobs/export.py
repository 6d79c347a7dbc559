"""Write each task's subnetwork of a finished run as a small model to serve: torch.export (.pt2), ONNX, a card.

They stand in `models/<run_id>/<model>/serving`; of all tasks together also an MLflow model that takes raw values, in
`mlflow` below it, where MLflow is installed.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names

MODEL = "connection_share"
"""Whose subnetworks are written unless `--model` names another."""


def run(job: Job, run_id: str | None = None, model: str = MODEL, task: str | None = None) -> None:
    """Write a run's subnetworks as small models to serve: torch.export and ONNX."""
    from jobs.pipeline import export

    export.run(job, run_id, model, task)


STAGE = Stage(
    name="export",
    help="Write a run's subnetworks as small models to serve: torch.export and ONNX.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=(
        "ncs export --conf conf/demo.yaml --lake lake/demo",
        "ncs export --conf conf/demo.yaml --lake lake/demo --model champion",
        "ncs export --conf conf/demo.yaml --lake lake/demo --run demo-0123456789ab --model layer_share --task ctr",
    ),
    arguments=(
        click.Option(["--run", "run_id"], metavar="ID", help="The run (default: the newest)."),
        click.Option(
            ["--model"],
            default=MODEL,
            show_default=True,
            metavar="NAME",
            help="Its model, or champion, candidate, RUN_ID/MODEL.",
        ),
        click.Option(["--system", "model"], hidden=True),
        click.Option(["--task"], metavar="A,B", help="Its tasks (default: all)."),
    ),
    reads=(names.MODELS, names.REGISTRY),
)

if __name__ == "__main__":
    STAGE.main()
