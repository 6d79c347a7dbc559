"""Run a notebook on the lake and keep it as one HTML file, `<lake>/reports/notebooks/<name>.html`."""

import click

from jobs.job import Job
from jobs.stage import Group, Stage


def run(job: Job, name: str) -> None:
    """Run a notebook on the lake and keep it as HTML."""
    from jobs.pipeline import notebook

    notebook.run(job, name)


STAGE = Stage(
    name="notebook",
    help="Run a notebook on the lake and keep it as HTML.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=("ncs notebook comparison --conf conf/demo.yaml --lake lake/demo",),
    arguments=(click.Argument(["name"], metavar="NAME"),),
)

if __name__ == "__main__":
    STAGE.main()
