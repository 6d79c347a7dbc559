"""Keep the tables' files in order: put small ones together, remove those that nobody needs any more."""

from datetime import timedelta
from functools import partial

from jobs.job import Job
from ncs.errors import DataError
from ncs.lake import storage, upkeep
from ncs.lake.tables import declared_table
from ncs.lake.upkeep import Upkeep
from ncs.lake.views import relation
from ncs.lake.writer import retry_conflicts
from ncs.text import aligned


def run(job: Job, apply: bool = False) -> None:
    """Report on every table; with `apply` rewrite crowded days, then remove unused files."""
    conf = job.conf.maintain
    retain, small = timedelta(days=conf.retain_days), conf.small_file_mb * 2**20
    pinned = upkeep.pinned_versions(job.lake)
    tables = upkeep.tables(job.lake)
    if not tables:
        raise DataError(f"the lake {job.lake.root} has no table to maintain; run `ncs ingest` first")
    surveys = [upkeep.survey(job.lake, table, small, retain, pinned.get(table, set())) for table in tables]
    halves = upkeep.leftovers(job.lake, retain)
    print(_as_text(surveys))
    print(f"{len(halves)} halves of files beside the tables, left by killed processes")
    if not apply:
        print("nothing was changed; --apply puts crowded files together and removes unused ones")
        return
    for survey in job.progress(surveys, "maintain", "table"):
        if survey.crowded:
            retry_conflicts(partial(_rewrite, job, survey), survey.table)
        if survey.unused:
            upkeep.vacuum(job.lake, survey.table, retain, pinned.get(survey.table, set()))
    for uri in halves:
        storage.remove(uri)
    job.say(
        f"maintain: {sum(bool(survey.crowded) for survey in surveys)} tables rewritten, "
        f"{sum(survey.unused for survey in surveys) + len(halves)} files removed"
    )


def _rewrite(job: Job, survey: Upkeep) -> None:
    """Put the small files of crowded parts together: no row changes, and the version that was stays readable."""
    columns = declared_table(survey.table).cluster_by
    days = ", ".join(f"'{day}'" for day in survey.crowded if day)  # of a table without days: its one part
    where = f"WHERE day IN ({days})" if columns and days else ""
    order = f"ZORDER BY ({', '.join(columns)})" if columns else ""
    job.spark.sql(f"OPTIMIZE {relation(job.lake, survey.table)} {where} {order}")


def _as_text(surveys: list[Upkeep]) -> str:
    lines = [["table", "files", "MiB", "crowded days", "unused files", "versions of models"]]
    for survey in surveys:
        size, crowded = f"{survey.size / 2**20:,.1f}", f"{len(survey.crowded):,}"
        pinned = ", ".join(map(str, survey.pinned)) or "-"
        lines.append([survey.table, f"{survey.files:,}", size, crowded, f"{survey.unused:,}", pinned])
    return "\n".join(aligned(lines, right=range(1, 5)))
