"""Create the analysts' SQL views over the tables that the lake has: in the schema `views.into`, if one is named.

Without a schema they would end with this session: then they are only tried, and written as SQL to `<lake>/views.sql`,
for whatever engine reads the lake. Notebooks make them for themselves (`ncs.notebook`).
"""

from jobs.job import Job
from jobs.stage import Group, Stage


def run(job: Job) -> None:
    """Create the SQL views that analysts read."""
    from jobs.pipeline import views

    views.run(job)


STAGE = Stage(
    name="views",
    help="Create the SQL views that analysts read.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=(
        "ncs views --conf conf/demo.yaml --lake lake/demo",
        "ncs views --conf conf/demo.yaml --lake lake/demo --set views.into=main.ncs",
    ),
)

if __name__ == "__main__":
    STAGE.main()
