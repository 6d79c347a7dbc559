"""Whether a table is what its declaration says."""

from ncs.lake.layout import Lake
from ncs.lake.tables import TABLES


def matches_declaration(lake: Lake, name: str) -> bool:
    """Assert each declared column's type, and that there are no others unless the declaration allows them."""
    declared, table = TABLES[name], lake.table(name)
    types = {column.name: getattr(column.type, "type", None) for column in table.schema().fields}
    expected = {name: column.type for name, column in declared.columns.items()}
    assert {name: types.get(name) for name in expected} == expected
    assert declared.rest or types.keys() == expected.keys(), name
    assert tuple(table.metadata().partition_columns) == declared.partition, name
    return True
