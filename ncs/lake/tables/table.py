"""The declaration of a table, and the schemas and constraints that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from ncs.lake.columns import Between, Column, Nulls

_ARROW = {
    "string": pa.string(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
"""A type by Delta's name -> Arrow's."""
SHARE = "_is_a_share"
"""Suffix of the constraint on a label of a task's samples."""


@dataclass(frozen=True)
class Table:
    """A table: its name, the stage that writes it, what a row is, its columns, and how it is kept."""

    name: str
    """`<layer>/<name>`, below the lake's root."""
    stage: str
    comment: str
    columns: Mapping[str, Column]
    """The columns that the table has in every lake."""
    partition: tuple[str, ...] = ()
    rest: str = ""
    """The further columns, in words, where the configuration decides on them (logs, fields, tasks)."""
    key: tuple[str, ...] = ()
    """Columns that no two rows agree on: data validation fails otherwise."""
    checks: Mapping[str, str] = field(default_factory=dict)
    """Conditions over several columns that Delta holds every row to: name -> SQL."""
    append_only: bool = False
    """Whether Delta refuses to change or remove a row that is there."""
    compact: bool = True
    """Whether upkeep puts small files together."""
    cluster_by: tuple[str, ...] = ()
    """Columns that readers look up within a day (or in a table without days): upkeep clusters the rows by them."""

    @property
    def required(self) -> list[str]:
        """The columns that are never null."""
        return [name for name, column in self.columns.items() if column.nulls is Nulls.REFUSED]

    @property
    def constraints(self) -> dict[str, str]:
        """Delta's CHECK constraints: name -> SQL condition."""
        checks = dict(self.checks)
        for name, column in self.columns.items():
            checks |= column.check(name)
        return checks

    @property
    def arrow(self) -> pa.Schema:
        """The columns as Arrow has them."""
        return pa.schema([(name, _ARROW[column.type]) for name, column in self.columns.items()])

    @property
    def ddl(self) -> str:
        """The columns as Spark reads a schema from text."""
        return ", ".join(f"`{name}` {column.type}" for name, column in self.columns.items())

    def comments(self, *names: str) -> dict[str, str]:
        """Comments of columns, for tables and views that pass them on under the same name."""
        return {name: self.columns[name].comment for name in names}

    def with_labels(self, labels: Sequence[str]) -> "Table":
        """A task's samples, with the constraints of their label columns: a share, or NaN where a row has none."""
        # Null where the label was another task's, which has left.
        shares = {
            f"{label}{SHARE}": f"`{label}` IS NULL OR isnan(`{label}`) OR {Between('', 0, 1).condition(f'`{label}`')}"
            for label in labels
        }
        return replace(self, checks={**self.checks, **shares})
