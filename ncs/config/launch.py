"""How the workers of a training are started."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ncs.config.values import Count, Section


class Launch(Section):
    """Who starts the workers, where, and what is done when one is lost."""

    launcher: Literal["horovodrun", "torch", "spark", "spark_torch"]
    hosts: Annotated[str, Field(pattern=r"^[\w.-]+:[1-9]\d*(,[\w.-]+:[1-9]\d*)*$")] | None
    network: str | None
    restarts: Annotated[int, Field(ge=0)]
    stall_seconds: Count

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
