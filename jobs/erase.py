"""Remove users from the lake: every row of theirs in every table, files rewritten; models that saw them are marked.

Ids are those of the raw logs, whole numbers or texts (`logs.text_ids`); with `privacy.key` their pseudonyms are what is
looked for. The users are kept, hashed, in `<lake>/erasures`: ingest leaves out what later deliveries of the logs bring
of them. What is left is as it would be without them, so that no day becomes stale; an id of the vocabulary that was
theirs stays free.
"""

from collections.abc import Sequence

import click

from jobs.job import Job
from jobs.stage import Group, Stage


def run(job: Job, user_ids: Sequence[str] = (), ids_file: str | None = None) -> None:
    """Remove users from every table, mark the models that saw them."""
    from jobs.pipeline import erase

    erase.run(job, user_ids, ids_file)


STAGE = Stage(
    name="erase",
    help="Remove users from every table, mark the models that saw them.",
    details=__doc__,
    group=Group.UPKEEP,
    run=run,
    examples=(
        "ncs erase --conf conf/demo.yaml --lake lake/demo --user-id 17 --user-id 18",
        "ncs erase --conf conf/demo.yaml --lake lake/demo --file ids.txt",
    ),
    arguments=(
        click.Option(["--user-id", "user_ids"], multiple=True, metavar="ID", help="A user; may come again."),
        click.Option(["--file", "ids_file"], metavar="FILE", help="Users, an id a line."),
    ),
)

if __name__ == "__main__":
    STAGE.main()
