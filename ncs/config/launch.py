"""How the workers of a training are started."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ncs.values import Section

_PLACE = r"[A-Za-z0-9][A-Za-z0-9._-]*:[1-9][0-9]{0,4}"
"""A host and its slots; what begins with - could be an option of whoever is handed it."""


class Launch(Section):
    """Who starts the workers, where, and what is done when one is lost."""

    launcher: Literal["horovodrun", "torch", "spark", "spark_torch"]
    hosts: Annotated[str, Field(pattern=rf"^{_PLACE}(,{_PLACE})*$")] | None
    network: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]*(,[A-Za-z0-9][A-Za-z0-9_.:@-]*)*$")] | None
    restarts: Annotated[int, Field(ge=0, le=1000)]
    stall_seconds: Annotated[int, Field(ge=1, le=7 * 24 * 3600)]

    @property
    def slots(self) -> dict[str, int]:
        """Host -> the workers that it takes; empty: this machine."""
        pairs = (place.rsplit(":", 1) for place in self.hosts.split(",")) if self.hosts else ()
        return {host: int(slots) for host, slots in pairs}

    @model_validator(mode="after")
    def _hosts_of_horovodrun(self) -> "Launch":
        if self.hosts and self.launcher != "horovodrun":
            raise ValueError(f"launch.hosts is read by horovodrun alone, the launcher is {self.launcher}")
        return self
