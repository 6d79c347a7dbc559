"""Reading a configuration: a YAML file, the base that it names, overrides from the command line."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

import ncs
from ncs.config.schema import Config
from ncs.config.values import problems, set_key
from ncs.errors import ConfigError

PACKAGED = Path(ncs.__file__).parent / "conf"
"""The configurations that come with the package: `conf/` of the sources."""


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
            raise ConfigError(f"--set {override!r}: write --set a.b=value")
        set_key(values, key.strip(), parse(text, f"--set {key}"))
    try:
        conf = Config.model_validate(values)
    except ValidationError as err:
        raise ConfigError(f"{path}: " + "; ".join(problems(err))) from None
    for name in conf.models:
        try:
            conf.of_model(name)
        except ConfigError as err:
            raise ConfigError(f"{path}: models.{name}.set: {err}") from None
    return conf


def of_run(described: Mapping[str, Any]) -> Config:
    """The configuration of a run, by its description (`run.json`), which an earlier version may have written.

    A key that came later has the value of `base.yaml`: it says what was done before there was the key.

    Raises ConfigError if the versions do not agree on more than that.
    """
    try:
        return Config.model_validate(_completed(Config, described["conf"], _read(PACKAGED / "base.yaml")))
    except ValidationError as err:
        raise ConfigError(
            f"run {described['run_id']} was trained by another version of ncs, which reads its configuration "
            f"otherwise ({'; '.join(problems(err))}); train it again"
        ) from None


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
    return packaged if packaged.exists() and not path.exists() else path


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"{path}: names itself as its base")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise ConfigError(f"no configuration can be read at {path} ({err.strerror}); see conf/") from None
    values = parse(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a configuration is a mapping of keys, this is {type(values).__name__}")
    base = values.pop("base", None)
    return _merge(_read(_or_packaged(path.parent / base), (*seen, path)), values) if base else values


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 as a number, as everybody means it, and leaves days as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own way)
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse(text: str, where: str) -> Any:
    """Text as YAML. Raises ConfigError that says `where` it stands."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as err:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(err).split())}") from None


def _merge(base: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in values.items():
        deep = key != "fields" and isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if deep else value
    return merged
