"""How a lake is kept: privacy of its users."""

from typing import Annotated

from pydantic import Field

from ncs.config.values import Section


class Privacy(Section):
    """What hides who the users are."""

    key: Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")] | None
