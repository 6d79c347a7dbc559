"""JSON values and the shapes that they are checked against."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from ncs.errors import DataError


def checked(text: str, where: str, shape: Any, remedy: str) -> Any:
    """The value of a JSON text of a shape. Raises DataError that says `where`, what is wrong and the remedy."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        problem = f"not JSON ({err})" if text.strip() else "empty, JSON expected"
        raise DataError(f"{where} is {problem}; {remedy}") from None
    try:
        _validator(shape).validate_json(text, strict=True)
    except ValidationError as err:
        raise DataError(f"{where}: {'; '.join(_problems(err))}; {remedy}") from None
    return value


@cache
def _validator(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _problems(err: ValidationError) -> Iterator[str]:
    """The first things that are wrong with a value, by their keys."""
    errors = err.errors(include_url=False)
    for error in errors[:3]:
        where = ".".join(map(str, error["loc"])) or "the value"
        expected = error["msg"].removeprefix("Value error, ")
        kind = "" if error["type"] in ("missing", "value_error") else f", found {type(error['input']).__name__}"
        yield f"{where}: {expected}{kind}"
    if len(errors) > 3:
        yield f"and {len(errors) - 3} more"


def plain(value: Any) -> Any:
    """For JSON: what was set of a document, anything else as text."""
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else str(value)
