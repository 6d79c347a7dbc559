"""Score rows of raw values, as silver/samples has them, with a kept model.

Each feature of the model is a column of the input. The output has the input's rows with a column p<task> a task, and
`rankscore`, pCTR * pCVR * length. Unknown ids are scored as unknown, and counted. The rows are held in memory and no
Spark is started, but with --spark, which reads folders of files too and writes a folder.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names


def run(job: Job, source: str, output: str, model: str = "champion", spark: bool = False) -> None:
    """Score rows of raw values with a kept model."""
    from jobs.pipeline import score

    score.run(job, source, output, model, spark)


STAGE = Stage(
    name="score",
    help="Score rows of raw values with a kept model.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=(
        "ncs score --conf conf/demo.yaml --lake lake/demo --input candidates.jsonl --output scored.parquet",
        "ncs score --conf conf/demo.yaml --model candidate --input silver/samples --output scored --spark",
    ),
    arguments=(
        click.Option(
            ["--input", "source"], required=True, metavar="FILE|TABLE", help="Parquet, CSV, JSON lines; Delta table."
        ),
        click.Option(["--output"], required=True, metavar="FILE", help="Parquet; a folder with --spark."),
        click.Option(
            ["--model"], default="champion", show_default=True, metavar="M", help="Or candidate, RUN_ID/MODEL."
        ),
        click.Option(["--spark"], is_flag=True, help="With Spark, for more rows than memory holds."),
    ),
    reads=(names.MODELS, names.VOCABULARY, names.REGISTRY),
)

if __name__ == "__main__":
    STAGE.main()
