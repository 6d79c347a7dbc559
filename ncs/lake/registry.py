"""The registry: which kept model is the champion, which the candidate, and how that came about.

It is one append-only Delta table. An entry gives an alias to a model; what an alias means now follows from the entries
in their order. A new entry is decided on all that are there: it is refused where another has come meanwhile, so that
of two promotions at once one loses.
"""

import getpass
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from ncs.errors import ConfigError, DataError
from ncs.lake import contract, layout
from ncs.lake.layout import Lake
from ncs.lake.tables import declared_table
from ncs.lake.tables.registry import CANDIDATE, CHAMPION, RegistryEntry


@dataclass(frozen=True)
class ModelRef:
    """A kept model: the run that it is of, and its name in that run. As text `RUN_ID/MODEL`."""

    run_id: str
    model: str

    def __str__(self) -> str:
        return f"{self.run_id}/{self.model}"

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Read `RUN_ID/MODEL`. Raises ConfigError for anything else."""
        run_id, slash, model = text.partition("/")
        if not slash or not model or "/" in model:
            raise ConfigError(f"--model {text!r}: write champion, candidate or RUN_ID/MODEL")
        return cls(layout.check_run_id(run_id, f"--model {text}"), model)


@dataclass(frozen=True)
class Registry:
    """The entries of a lake's registry in their order, at a version of the table."""

    lake: Lake
    entries: Sequence[RegistryEntry]
    version: int | None
    """Of the table that they were read from; None: it is not there."""

    @classmethod
    def read(cls, lake: Lake) -> "Registry":
        """The registry as it is now; without entries where there is no table."""
        if not lake.has(layout.REGISTRY):
            return cls(lake, (), None)
        version = lake.version(layout.REGISTRY)
        columns = [column.name for column in fields(RegistryEntry)]
        rows = lake.read(layout.REGISTRY, version, columns).to_pylist() if version else []
        entries = sorted((RegistryEntry(**row) for row in rows), key=lambda entry: entry.sequence)
        return cls(lake, tuple(entries), version)

    @property
    def champions(self) -> list[ModelRef]:
        """The champion, last, and those before it that a rollback leads back to."""
        stack: list[ModelRef] = []
        for entry in self.entries:
            if entry.action == "rollback":
                stack.pop()
            elif entry.alias == CHAMPION:
                stack.append(ModelRef(entry.run_id, entry.model))
        return stack

    def current(self, alias: str) -> ModelRef | None:
        """The model that has an alias now; None where none has."""
        if alias == CHAMPION:
            return next(reversed(self.champions), None)
        entries = [entry for entry in self.entries if entry.alias == alias]
        return ModelRef(entries[-1].run_id, entries[-1].model) if entries else None

    def resolve(self, text: str) -> ModelRef:
        """The model that `champion`, `candidate` or `RUN_ID/MODEL` names. Raises DataError where none has the alias."""
        if text not in (CHAMPION, CANDIDATE):
            return ModelRef.parse(text)
        model = self.current(text)
        if model is None:
            remedy = "`ncs promote --model RUN_ID/MODEL`" if text == CHAMPION else "`ncs daily`, which registers one"
            raise DataError(f"{layout.REGISTRY} of {self.lake.root} has no {text} yet; run {remedy}")
        return model

    def append(self, alias: str, action: str, model: ModelRef, why: str, **evidence: Any) -> "Registry":
        """Add an entry to these; `evidence`: `reference`, `day` and `evidence` of `RegistryEntry`, null by default.

        Returns the registry with it. Raises DataError, and adds nothing, if there are other entries by now.
        """
        entry = RegistryEntry(
            sequence=len(self.entries) + 1,
            made_at=datetime.now(UTC),
            alias=alias,
            action=action,
            run_id=model.run_id,
            model=model.model,
            who=os.environ.get("NCS_USER") or getpass.getuser(),
            why=why,
            **{"reference": None, "day": None, "evidence": None, **evidence},
        )
        rows = pa.Table.from_pylist([asdict(entry)], schema=declared_table(layout.REGISTRY).arrow)
        after = 0 if self.version is None else self.version  # a new table is created in a commit of its own
        try:
            contract.append(self.lake, layout.REGISTRY, rows, after)
        except CommitFailedError:
            raise DataError(
                f"another change of {layout.REGISTRY} came between: {model} was not made {alias}, nothing is changed; "
                f"see `ncs promote --history`, and run the command again if it is still wanted"
            ) from None
        return Registry(self.lake, (*self.entries, entry), after + 1)
