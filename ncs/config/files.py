"""Reading a configuration: a YAML file, the base that it names, overrides from the command line."""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

import ncs
from ncs.config.checks import check_names
from ncs.config.earlier import add_keys, drop_gone, drop_keys, rename_key, rename_keys
from ncs.config.schema import Config
from ncs.errors import ConfigError, first_line
from ncs.text import read_text
from ncs.values import problems, redact, set_key

PACKAGED = Path(ncs.__file__).parent / "conf"
"""The configurations that come with the package: `conf/` of the sources."""
LARGEST_FILE = 1_000_000
MOST_VALUES, DEEPEST = 100_000, 50
"""Bytes of a file; values of a configuration, aliases counted each time, and how deep they stand in each other."""


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file, the base that it names, and `a.b=c` overrides.

    A name without a folder, as `demo.yaml`, and a base may be of the package's own configurations.

    Raises ConfigError with the path of each key that is unknown, missing, of a wrong type or impossible.
    """
    path = Path(path)
    values = _read(path if path.parent != Path() else _or_packaged(path))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {redact(override)!r}: write --set a.b=value")
        set_key(values, rename_key(key.strip(), f"--set {key.strip()}"), parse(text, f"--set {key}"))
    check_values(drop_gone(values, str(path)), str(path))
    try:
        conf = Config.model_validate(values)
    except ValidationError as err:
        raise ConfigError(f"{path}: " + "; ".join(problems(err))) from None
    for name in conf.models:
        try:
            conf.for_model(name)
        except ConfigError as err:
            raise ConfigError(f"{path}: models.{name}.set: {err}") from None
    try:
        check_names(conf)
    except ConfigError as err:
        raise ConfigError(f"{path}: {err}") from None
    return conf


def from_run(described: Mapping[str, Any]) -> Config:
    """The configuration of a run, by its description (`run.json`), which an earlier version may have written.

    A key that came later has the value that says what was done before there was the key, mostly that of `base.yaml`.

    Raises ConfigError if the versions do not agree on more than that.
    """
    check_values(described["conf"], f"run {described['run_id']}")
    try:
        values = add_keys(drop_keys(rename_keys(deepcopy(described["conf"]), None)))
        return Config.model_validate(_completed(Config, values, _read(PACKAGED / "base.yaml")))
    except ValidationError as err:
        raise ConfigError(
            f"run {described['run_id']} was trained by another version of ncs, which reads its configuration "
            f"otherwise ({'; '.join(problems(err))}); train it again"
        ) from None


def packaged_models() -> list[str]:
    """The names in the catalogue that comes with the package."""
    return list(_read(PACKAGED / "base.yaml")["models"])


def _completed(section: type[BaseModel], values: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a section, and of the sections in it, with the keys that they lack from `base`."""
    if not isinstance(values, Mapping):  # a type that the schema refuses
        return values
    completed = {**{key: base[key] for key in section.model_fields if key in base}, **values}
    for key, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and key in values:
            completed[key] = _completed(kind, values[key], base.get(key, {}))
    return completed


def _or_packaged(path: Path) -> Path:
    """The path; if nothing is there, the package's own file of that name, if there is one."""
    packaged = PACKAGED / path.name
    return packaged if os.path.exists(packaged) and not os.path.exists(path) else path  # False for what is no path


def _read(path: Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    text = read_text(path, LARGEST_FILE, "configuration", "see conf/")
    place = os.path.realpath(path)  # however it is spelt
    if place in seen:
        raise ConfigError(f"{path}: names itself as its base, through {len(seen)} files; let one of them have no base")
    values = parse(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a configuration is a mapping of keys, this is {type(values).__name__}")
    base = rename_keys(values, str(path)).pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str) or not base:
        raise ConfigError(f"{path}: base names one file, not {base!r}")
    return _merge(_read(_or_packaged(path.parent / base), (*seen, place)), values)


_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)",
    "tag:yaml.org,2002:float": r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
"""Numbers as everybody means them: YAML 1.1 reads 0100 as 64, 24:00 as 1440 and 1e-3 as text."""


class _Loader(yaml.SafeLoader):
    """Safe YAML whose numbers are `_NUMBERS`, and which leaves days as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own way)
        first: [pair for pair in pairs if pair[0] not in (*_NUMBERS, "tag:yaml.org,2002:timestamp")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.flat = set[int]()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse a key that stands twice in a mapping, before what it merges (`<<`) joins it."""
        if id(node) in self.flat:  # it holds what it merges, which its own keys may repeat
            return
        self.flat.add(id(node))
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in lines:
                first, mark = lines[name], key.start_mark
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands in line {first} too", problem_mark=mark
                )
            lines[name] = key.start_mark.line + 1
        super().flatten_mapping(node)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number. Python refuses those of thousands of digits."""
        try:
            return int(super().construct_yaml_int(node))
        except ValueError:
            length = len(node.value)
            problem = f"a number of {length:,} characters" if length > 40 else f"{node.value!r} is no whole number"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
for _tag, _number in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^({_number})$"), list("-+.0123456789"))


def parse(text: str, where: str) -> Any:
    """Text as YAML. Raises ConfigError that says `where` it stands, and in which line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as err:  # without the lines around it, which may hold a secret
        mark = err.problem_mark or err.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: not YAML: {' '.join((err.problem or err.context or '').split())}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as err:  # of a tag that does not fit its text, or of [[[[...
        reason = getattr(err, "reason", None) or first_line(err)
        position = getattr(err, "position", None)  # of a character that no YAML holds
        line = "" if position is None else f", line {text.count(chr(10), 0, position) + 1}"
        raise ConfigError(f"{where}{line}: not YAML: {reason}") from None


def check_values(values: Any, where: str) -> None:
    """Raises ConfigError for what no key can have: numbers that are not finite or beyond 64 bits, texts with control
    characters, too many or too deeply nested values."""
    for number, (key, value, depth) in enumerate(_leaves(values)):
        if number >= MOST_VALUES or depth > DEEPEST:
            raise ConfigError(
                f"{where}: {key or 'it'} has more than {MOST_VALUES:,} values, or is nested more than {DEEPEST} deep"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{where}: {key}: a finite number is asked for (found {value})")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(f"{where}: {key}: a number of 64 bits is asked for (found one of {value.bit_length()})")
        if isinstance(value, str) and not _TEXT.fullmatch(value):
            raise ConfigError(f"{where}: {key}: a text holds no control characters (found {redact(value)[:40]!r})")


_TEXT = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")


def _leaves(value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, Any, int]]:
    """Each value below a value, its keys too, with its path and how deep it stands; no deeper than is allowed."""
    yield key, value, depth
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield key or "a key", name, depth
            yield from _leaves(inner, f"{key}.{name}".removeprefix("."), depth + 1)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _leaves(inner, key, depth + 1)


def _merge(base: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in values.items():
        deep = key != "fields" and isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if deep else value
    return merged
