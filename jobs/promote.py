"""Make a model the champion, if its figures on the newest day allow it (`promote` in the configuration).

Compared are the candidate and the champion, on the same impressions of the newest day that both have predicted and
neither was trained on. A refusal names each rule that failed, with its figure (exit code 3), and changes nothing. Of
two promotions at once one fails. Appends to gold/models; starts no Spark. An empty --model, as `ncs daily --no-promote`
hands it on where no candidate was judged, changes nothing.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names


def run(job: Job, model: str = "candidate", force: bool = False, why: str | None = None, history: bool = False) -> None:
    """Make a model the champion, if its figures allow it."""
    from jobs.pipeline import promote

    if history:
        promote.history(job)
    elif not model:
        job.say("promote: no candidate was judged")
    else:
        promote.run(job, model, force, why)


STAGE = Stage(
    name="promote",
    help="Make a model the champion, if its figures on the newest day allow it.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=(
        "ncs promote --conf conf/demo.yaml --lake lake/demo",
        "ncs promote --conf conf/demo.yaml --model demo-0123456789ab/layer_share --force --why trial",
        "ncs promote --conf conf/demo.yaml --lake lake/demo --history",
    ),
    arguments=(
        click.Option(
            ["--model"], default="candidate", show_default=True, metavar="M", help="candidate or RUN_ID/MODEL."
        ),
        click.Option(["--force"], is_flag=True, help="Even against the rules."),
        click.Option(["--why"], metavar="TEXT", help="The reason, for the registry."),
        click.Option(["--history"], is_flag=True, help="Only print the registry."),
    ),
    reads=(names.MODELS, names.PREDICTIONS, names.ENCODED),
    writes=(names.REGISTRY,),
)

if __name__ == "__main__":
    STAGE.main()
