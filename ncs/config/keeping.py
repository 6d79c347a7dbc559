"""How a lake is kept: upkeep of its files, privacy of its users."""

from typing import Annotated

from pydantic import Field, field_validator

from ncs.config.values import WITH_PASSWORD, Count, Section


class Privacy(Section):
    """What hides who the users are."""

    key: Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")] | None


class Maintain(Section):
    """Upkeep of the tables' files."""

    retain_days: Count
    small_file_mb: Count


class Track(Section):
    """Where finished runs are logged to MLflow."""

    uri: str | None
    experiment: Annotated[str, Field(min_length=1)]

    @field_validator("uri")
    @classmethod
    def _no_password(cls, uri: str | None) -> str | None:
        if uri is not None and WITH_PASSWORD.search(uri):
            raise ValueError("credentials do not belong into a URI; MLflow takes them from the environment")
        return uri
