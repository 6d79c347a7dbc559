"""How a lake is kept: upkeep of its files, privacy of its users."""

from typing import Annotated

from pydantic import Field

from ncs.config.values import Count, Section


class Privacy(Section):
    """What hides who the users are."""

    key: Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")] | None


class Maintain(Section):
    """Upkeep of the tables' files."""

    retain_days: Count
    small_file_mb: Count
