"""Compare models along the values of one key of the configuration, and draw the curves.

A key that decides the logs or the samples (`logs`, `labels`, `split`, `fields`, `encode`, `tasks`) gets a lake for
each value, below <lake>/sweeps; any other is compared on the lake itself. Goes on where it was interrupted.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage, comparison_options, worker_options
from ncs.lake import names


def run(job: Job, key: str, values: str) -> None:
    """Compare models along the values of one key, draw curves."""
    from jobs.pipeline import sweep

    sweep.run(job, key, values)


STAGE = Stage(
    name="sweep",
    help="Compare models along the values of one key, draw curves.",
    details=__doc__,
    group=Group.TRAINING,
    run=run,
    examples=(
        "ncs sweep --conf conf/demo.yaml --lake lake/demo --key net.hidden --values '[[32, 16], [128, 64]]' --seeds 3",
    ),
    arguments=(
        click.Option(["--key"], required=True, metavar="K", help="The key, as net.hidden."),
        click.Option(["--values"], required=True, metavar="[V,..]", help="Its values, a YAML list."),
        *comparison_options(),
        *worker_options(),
    ),
    reads=(names.VOCABULARY, names.ENCODED),
    writes=(names.COMPARISONS, names.DIFFERENCES),
)

if __name__ == "__main__":
    STAGE.main()
