"""Keep the tables' files in order: put small ones together, remove those that nobody needs any more."""

from datetime import timedelta
from functools import partial

from jobs.job import Job
from ncs.errors import DataError
from ncs.lake import storage, upkeep
from ncs.lake.tables import table_of
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
    found = [upkeep.survey(job.lake, table, small, retain, pinned.get(table, set())) for table in tables]
    halves = upkeep.leftovers(job.lake, retain)
    print(_as_text(found))
    print(f"{len(halves)} halves of files beside the tables, left by killed processes")
    if not apply:
        print("nothing was changed; --apply puts crowded files together and removes unused ones")
        return
    for one in job.progress(found, "maintain", "table"):
        if one.crowded:
            retry_conflicts(partial(_rewrite, job, one), one.table)
        if one.unused:
            upkeep.vacuum(job.lake, one.table, retain, pinned.get(one.table, set()))
    for uri in halves:
        storage.remove(uri)
    job.say(
        f"maintain: {sum(bool(one.crowded) for one in found)} tables rewritten, "
        f"{sum(one.unused for one in found) + len(halves)} files removed"
    )


def _rewrite(job: Job, found: Upkeep) -> None:
    """Put the small files of crowded parts together: no row changes, and the version that was stays readable."""
    columns = table_of(found.table).cluster_by
    days = ", ".join(f"'{day}'" for day in found.crowded if day)  # of a table without days: its one part
    where = f"WHERE day IN ({days})" if columns and days else ""
    order = f"ZORDER BY ({', '.join(columns)})" if columns else ""
    job.spark.sql(f"OPTIMIZE {relation(job.lake, found.table)} {where} {order}")


def _as_text(found: list[Upkeep]) -> str:
    lines = [["table", "files", "MiB", "crowded days", "unused files", "versions of models"]]
    for one in found:
        size, crowded = f"{one.size / 2**20:,.1f}", f"{len(one.crowded):,}"
        pinned = ", ".join(map(str, one.pinned)) or "-"
        lines.append([one.table, f"{one.files:,}", size, crowded, f"{one.unused:,}", pinned])
    return "\n".join(aligned(lines, right=range(1, 5)))
