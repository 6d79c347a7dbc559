"""Verdicts of the gate: one per check, and its outcome for each day, kept as rows that are only added to."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

import pyarrow as pa

from ncs.days import Days
from ncs.lake import contract, storage
from ncs.lake.layout import ALL, VERDICTS, Commit, Lake
from validation import page

Outcome = Literal["pass", "warn", "stop"]


@dataclass(frozen=True)
class Finding:
    """The result of one rule for a table. `days`: the days at fault, empty where they are unknown."""

    column: str
    rule: str
    found: str
    expectation: str
    days: list[str] = field(default_factory=list)
    warns: bool = False
    """Whether it is only shown and recorded (`gates.learnt.warn`)."""
    met: bool = False
    examples: list[str] = field(default_factory=list)
    """Rows at fault, some of them, as JSON."""

    def __str__(self) -> str:
        return f"{self.column}: {self.rule}; found {self.found} ({self.expectation})"


@dataclass(frozen=True)
class Verdict:
    """The result of checking one version of a table against one suite.

    `digest` stands for everything that decided the suite: the same table, version and digest get the same verdict.
    """

    table: str
    version: int
    days: str
    digest: str
    success: bool
    findings: list[Finding] = field(default_factory=list)
    """One per rule."""

    @property
    def failed(self) -> list[Finding]:
        """The findings that are not met, with warnings."""
        return [finding for finding in self.findings if not finding.met]

    @property
    def warnings(self) -> list[Finding]:
        """The findings that are not met and stop nothing."""
        return [failure for failure in self.failed if failure.warns]

    def parts(self) -> list[str]:
        """The days that it is on, or `all`."""
        if self.days == ALL:
            return [ALL]
        return [str(day) for part in self.days.split(", ") for day in Days.parse(part)]

    def outcome(self, day: str) -> tuple[Outcome, list[Finding]]:
        """The outcome for one of its days, and the failures."""
        failures = [failure for failure in self.failed if not failure.days or day in failure.days]
        if not failures:
            return "pass", []
        return ("warn" if all(failure.warns for failure in failures) else "stop"), failures

    def __str__(self) -> str:
        what = f"{self.table} (days {self.days}, version {self.version})"
        count = len(self.findings)
        if self.success:
            warned = "".join(f"\n  warning: {failure}" for failure in self.warnings)
            return f"{what} meets its {count - len(self.warnings)} expectations{warned}"
        stopping = [failure for failure in self.failed if not failure.warns]
        lines = [f"{what} fails {len(stopping)} of {count} expectations:", *map(str, stopping)]
        return "\n  ".join([*lines, *(f"warning: {failure}" for failure in self.warnings)])


def stored(lake: Lake, table: str) -> Verdict | None:
    """The newest verdict on a table; None if there is none, or a broken one: the table is checked again."""
    return read(uri(lake, table))


def read(uri: str) -> Verdict | None:
    """The verdict in a file; None if there is none, or one that an earlier version wrote."""
    values = storage.derived_json(uri, Verdict)
    return values and Verdict(**{**values, "findings": [Finding(**each) for each in values["findings"]]})


def uri(lake: Lake, table: str) -> str:
    """The path of the newest verdict on a table."""
    return lake.uri("validation", f"{page(table)}.json")


def keep(lake: Lake, verdicts: Iterable[Verdict], run: str) -> None:
    """Add what verdicts say of each of their days; `run` names the command's checks."""
    now = datetime.now(UTC)
    rows = []
    for verdict in verdicts:
        for key in verdict.parts():
            outcome, failures = verdict.outcome(key)
            texts = json.dumps([str(failure) for failure in failures])
            row = {"table": verdict.table, "day": key, "version": verdict.version, "outcome": outcome}
            rows.append({**row, "failures": texts, "run": run, "checked": now})
    if rows:
        contract.append(lake, VERDICTS, pa.Table.from_pylist(rows))


@dataclass(frozen=True)
class Checked:
    """The result of a check for one day of a table: the version that it read, the time, and what failed."""

    version: int
    outcome: Outcome
    checked: datetime
    failures: tuple[str, ...] = ()


def by_day(lake: Lake) -> dict[tuple[str, str], list[Checked]]:
    """Table and day (or `all`) -> the checks of it, the newest last."""
    if not lake.has(VERDICTS):
        return {}
    columns = ["table", "day", "version", "outcome", "checked", "failures"]
    rows = lake.read(VERDICTS, lake.version(VERDICTS), columns).to_pylist()
    checks: dict[tuple[str, str], list[Checked]] = {}
    for row in sorted(rows, key=lambda row: row["checked"]):
        failures = tuple(json.loads(row["failures"] or "[]"))
        checked = Checked(row["version"], row["outcome"], row["checked"], failures)
        checks.setdefault((row["table"], row["day"]), []).append(checked)
    return checks


def newest_rows(lake: Lake) -> dict[tuple[str, str], Checked]:
    """Table and day (or `all`) -> the last check of it, whatever version it is of."""
    return {key: checks[-1] for key, checks in by_day(lake).items()}


def last_outcome(checks: Iterable[Checked], commit: Commit) -> Outcome | None:
    """The gate's last outcome for the current rows of a day; None if it has not checked them.

    A check of a later version has seen them too, for nothing has changed them since. One from before they were written
    has not, whatever its version: the table was removed and made again.
    """
    seen = [each.outcome for each in checks if _has_seen(each, commit)]
    return seen[-1] if seen else None


def run_outcome(days: Iterable[Sequence[Checked]], commit: Commit) -> Outcome | None:
    """The worst that was said of a run's rows when they were first checked; None if they were not.

    Later versions hold rows of other runs on the same days. `days`: the checks of each day of the table.
    """
    seen = [[check for check in checks if _has_seen(check, commit)] for checks in days]
    first = min((check.version for checks in seen for check in checks), default=None)
    last = [[check.outcome for check in checks if check.version == first][-1:] for checks in seen]
    return max((outcome for outcomes in last for outcome in outcomes), key=get_args(Outcome).index, default=None)


def _has_seen(check: Checked, commit: Commit) -> bool:
    return check.version >= commit.rows_version and check.checked >= commit.written
