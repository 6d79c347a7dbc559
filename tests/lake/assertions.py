"""Whether a table is what the data dictionary tells of it."""

from ncs.lake.layout import Lake
from ncs.lake.tables import TABLES


def holds_what_is_told(lake: Lake, name: str) -> bool:
    """Each column with its type; columns that are not named only where it says that there are such."""
    told, table = TABLES[name], lake.table(name)
    found = {column.name: getattr(column.type, "type", None) for column in table.schema().fields}
    assert {column: found.get(column) for column in told.columns} == {c: one.type for c, one in told.columns.items()}
    assert told.rest or found.keys() == told.columns.keys(), name
    assert tuple(table.metadata().partition_columns) == told.partition, name
    return True
