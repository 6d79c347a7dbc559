"""Show what was set aside and why, or replay it: label its days again from bronze, under the rules as they are now.

    ncs quarantine show --conf conf/demo.yaml --lake lake/demo [--days A..B] [--log plays] [--reason bad_watch] [--json]
    ncs quarantine replay ...the same

Bronze keeps every raw row, so a row that was set aside comes back by being judged again: the days that hold such rows
are labelled, whatever their records say. New logs and other keys of `labels` need no replay, `ncs run` sees them;
a rule that was mended in the code does.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import date

from jobs import label
from jobs.cli import main
from jobs.job import Job
from ncs.days import Days
from ncs.lake.quarantine import Reason, as_lines, reasons
from ncs.text import aligned


def run(job: Job) -> None:
    """Print the quarantine, or what replaying has changed in it."""
    action, log, reason = job.options.action, job.options.log, job.options.reason
    found = reasons(job.lake, job.days, log, reason)
    if action == "show":
        print(json.dumps([asdict(one) for one in found], indent=2) if job.options.json else _table(found))
    elif found:
        _replay(job, found)
    else:
        print(f"no such rows are in quarantine on {job.days}")


def _replay(job: Job, before: list[Reason]) -> None:
    days = sorted({date.fromisoformat(one.day) for one in before})
    job.days = Days(days[0], days[-1])
    label.run(job, again=days)
    log, reason = job.options.log, job.options.reason
    after = Counter({(one.day, one.log, one.reason): one.rows for one in reasons(job.lake, job.days, log, reason)})
    lines = [["day", "log", "reason", "before", "after"]]
    for one in before:
        lines.append([one.day, one.log, one.reason, f"{one.rows:,}", f"{after[one.day, one.log, one.reason]:,}"])
    print("\n".join(aligned(lines)))
    print("samples of these days are labelled again; `ncs run` or `ncs backfill` takes them on to gold")


def _table(found: list[Reason]) -> str:
    return "\n".join(aligned(as_lines(found))) if found else "nothing is in quarantine on these days"


if __name__ == "__main__":
    sys.exit(main(["quarantine", *sys.argv[1:]]))
