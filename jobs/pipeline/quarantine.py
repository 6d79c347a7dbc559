"""Show what was set aside and why, or replay it: label its days again from bronze, under the rules as they are now."""

import json
from collections import Counter
from dataclasses import asdict
from datetime import date

from jobs.job import Job
from jobs.pipeline import label
from ncs.days import Days
from ncs.lake.quarantine import Reason, as_lines, reasons
from ncs.text import aligned


def run(
    job: Job, action: str = "show", log: str | None = None, reason: str | None = None, as_json: bool = False
) -> None:
    """Print the quarantine, or what replaying has changed in it."""
    counts = reasons(job.lake, job.days, log, reason)
    if action == "show":
        print(json.dumps([asdict(row) for row in counts], indent=2) if as_json else _table(counts))
    elif counts:
        _replay(job, counts, log, reason)
    else:
        print(f"no such rows are in quarantine on {job.days}")


def _replay(job: Job, before: list[Reason], log: str | None, reason: str | None) -> None:
    days = sorted({date.fromisoformat(row.day) for row in before})
    job.days = Days(days[0], days[-1])
    label.run(job, again=days)
    after = Counter({(row.day, row.log, row.reason): row.rows for row in reasons(job.lake, job.days, log, reason)})
    lines = [["day", "log", "reason", "before", "after"]]
    for row in before:
        lines.append([row.day, row.log, row.reason, f"{row.rows:,}", f"{after[row.day, row.log, row.reason]:,}"])
    print("\n".join(aligned(lines)))
    print("samples of these days are labelled again; `ncs run` or `ncs backfill` takes them on to gold")


def _table(counts: list[Reason]) -> str:
    return "\n".join(aligned(as_lines(counts))) if counts else "nothing is in quarantine on these days"
