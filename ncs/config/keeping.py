"""How a lake is kept and read: upkeep of its files, privacy of its users, views, rows in memory."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from ncs.values import LARGEST, Count, Few, Place, Section


class Privacy(Section):
    """What hides who the users are."""

    key: Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")] | None


class Maintain(Section):
    """Upkeep of the tables' files."""

    retain_days: Few
    small_file_mb: Few


class Track(Section):
    """Where finished runs are logged to MLflow, and the models in use are registered."""

    uri: Place | None
    experiment: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/:'\"]+$")] | None


class Views(Section):
    """Where the SQL views are created."""

    into: str | None

    @field_validator("into")
    @classmethod
    def _a_schema(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", name):
            raise ValueError("name a schema, or catalog.schema, of letters, digits and _")
        return name


class DataLoading(Section):
    """How rows come from Delta files to the net."""

    memory_rows: Annotated[int, Field(ge=0, le=LARGEST)]
    buffer_rows: Count
