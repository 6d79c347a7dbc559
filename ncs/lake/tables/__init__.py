"""The tables of a lake, each declared once.

Delta's constraints and comments, the schemas of what is written, the fixed part of data validation, upkeep and the data
dictionary of the documentation follow from it. It imports neither Spark nor torch.
"""

from collections.abc import Mapping

from ncs.lake.columns import Column
from ncs.lake.tables.registry import REGISTRY_TABLES
from ncs.lake.tables.results import RESULTS
from ncs.lake.tables.samples import SAMPLE_TABLES, sample_table
from ncs.lake.tables.table import Table

TABLES: Mapping[str, Table] = {table.name: table for table in (*SAMPLE_TABLES, *RESULTS, *REGISTRY_TABLES)}


def is_sample_table(name: str) -> bool:
    """Whether a table holds the encoded samples of a task."""
    return name.startswith("gold/") and name.endswith("_samples")


def declared_table(name: str) -> Table:
    """What a table holds; the samples of a further task follow from its name, of any other nothing is known."""
    if is_sample_table(name) and name not in TABLES:
        task = name.removeprefix("gold/").removesuffix("_samples")
        return sample_table(task, f"Samples of {task}", Column("float", "its label"))
    return TABLES.get(name, Table(name, "", "", {}, compact=False))
