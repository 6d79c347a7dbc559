"""How a lake is kept: upkeep of its files, privacy of its users."""

from typing import Annotated

from pydantic import Field

from ncs.values import Few, Place, Section


class Privacy(Section):
    """What hides who the users are."""

    key: Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")] | None


class Maintain(Section):
    """Upkeep of the tables' files."""

    retain_days: Few
    small_file_mb: Few


class Track(Section):
    """Where finished runs are logged to MLflow."""

    uri: Place | None
    experiment: Annotated[str, Field(min_length=1)]
