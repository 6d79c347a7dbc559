"""The users that `ncs erase` has removed, and the models that had seen them: one small file per call.

User ids stand there as SHA-256 sums, so that none is read off by accident; whoever has the lake and an id can still
find out whether it was erased. It imports neither Spark nor torch.
"""

import hashlib
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.layout import Lake

PREFIX = "ncs-erased:"
"""Stands before the id in what is hashed."""


def user_digest(user: int) -> str:
    """The digest that stands for a user id of the tables."""
    return hashlib.sha256(f"{PREFIX}{user}".encode()).hexdigest()


def erased_users(lake: Lake) -> set[str]:
    """The digests of all users that have been erased. Raises DataError for a list that cannot be read."""
    return {user for values in _lists(lake) for user in values["users"]}


def models_with_erased_users(lake: Lake) -> set[str]:
    """The runs whose models were trained on rows of users that have been erased since."""
    return {run for values in _lists(lake) for run in values["models"]}


def record_erasure(lake: Lake, users: Iterable[int], models: Iterable[str]) -> None:
    """Add users and runs to those of earlier calls."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.json"  # of each call its own: two at once lose nothing
    values = {"erased": now.isoformat(), "users": sorted(map(user_digest, users)), "models": sorted(models)}
    storage.write_json(lake.uri("erasures", name), values)


def _lists(lake: Lake) -> list[dict[str, Any]]:
    folder = lake.uri("erasures")
    return [_list(storage.join(folder, name)) for name in storage.files(folder)]


def _list(path: str) -> dict[str, Any]:
    try:
        values = storage.read_json(path)
        for key in ("users", "models"):
            if not isinstance(values[key], list) or not all(isinstance(each, str) for each in values[key]):
                raise ValueError(f"{key} is no list of texts")
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise DataError(
            f"{path} does not say which users were erased ({err!r}); restore it, or remove it and run `ncs erase` "
            "on its users again"
        ) from None
    return values
