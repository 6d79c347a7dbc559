"""How a table comes from one version of the contracts to the next, without its rows being written again."""

from collections.abc import Callable

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from ncs.errors import DataError
from ncs.lake import contract, storage
from ncs.lake.layout import name_of
from ncs.lake.tables import table_of


def migrate(uri: str) -> list[int]:
    """Take a table through every step that it lacks. Returns the versions that it came to, none if it was up to date.

    Killed between, it goes on from there: the version is set last.

    Raises:
        DataError: rows that are there break a constraint that the table is to have, or a newer ncs made the table.
    """
    found = contract.version_of(_table(uri))
    if found > contract.SCHEMA_VERSION:
        raise DataError(
            f"{uri} is of schema version {found}, this ncs knows {contract.SCHEMA_VERSION}; use a newer ncs"
        )
    steps = range(found + 1, contract.SCHEMA_VERSION + 1)
    for version in steps:
        _STEPS[version](uri)
        _set(uri, {contract.VERSION_PROPERTY: str(version)})
    return list(steps)


def _to_contract(uri: str) -> None:
    """From tables without contracts. A nullable column stays so in Delta: a CHECK stands for NOT NULL."""
    table = _table(uri)
    name = name_of(uri)
    promised, told = contract.contract_of(name, contract.labels_of(table.schema())), table_of(name)
    names = {column.name for column in table.schema().fields}
    given = {f"{column}_is_given": f"{column} IS NOT NULL" for column in promised.required}
    for check, condition in {**given, **promised.checks}.items():
        if f"delta.constraints.{check}" not in table.metadata().configuration:
            try:
                table.alter.add_constraint({check: condition})
            except DeltaError as err:
                reason = str(err).strip().partition("\n")[0]
                raise DataError(
                    f"{uri}: its rows break {condition!r} ({reason}); mend or remove the table and write it again"
                ) from None
    table.alter.set_table_description(told.comment)
    for column in names & told.columns.keys():
        table.alter.set_column_metadata(column, {"comment": told.columns[column].comment})
    _set(uri, {key: value for key, value in promised.properties.items() if key != contract.VERSION_PROPERTY})


def _table(uri: str) -> DeltaTable:
    return DeltaTable(storage.alias(uri))


def _set(uri: str, properties: dict[str, str]) -> None:
    _table(uri).alter.set_table_properties(properties, raise_if_not_exists=False)


_STEPS: dict[int, Callable[[str], None]] = {1: _to_contract}
"""Version -> what brings a table of the version before to it."""
