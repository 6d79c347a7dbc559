"""What mkdocs makes of `conf/base.yaml` and the schema: the page of all configuration keys."""

import html
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from ncs.config import Config
from ncs.days import Days

_BASE = Path(__file__).parent.parent / "conf" / "base.yaml"
_KEY = re.compile(r"(?P<indent> *)(?P<name>[\w.]+):(?P<value>(?: [^#\n]*)?)(?:# ?(?P<comment>.*))?")
_BOUNDS = {Ge: "at least {0.ge}", Gt: "above {0.gt}", Le: "at most {0.le}", Lt: "below {0.lt}"}
_PLAIN = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    Days: "days",
    type(None): "null",
    Any: "any",
}
_HEAD = """# Configuration

A file of your own names `base: base.yaml` and says only what differs; `--set a.b=value` on the command line comes last.
Unknown keys, wrong types and impossible values are refused with the key's path. This page is made of `conf/base.yaml`,
where all defaults stand, and of the schema that a configuration is checked against.
"""


class Key(NamedTuple):
    """A key of the configuration, as it stands in base.yaml."""

    path: str
    meaning: str


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those that stand in docs/."""
    files.append(File.generated(config, "configuration.md", content=page(_BASE.read_text())))
    return files


def page(text: str) -> str:
    """The page, in Markdown: a part for each section, a heading with an anchor for each key."""
    values, found, lines = yaml.safe_load(text), list(keys(text)), [_HEAD]
    sections = {path.rpartition(".")[0] for path, _ in found}
    for path, meaning in found:
        if "." not in path:
            lines += [f"## {path}", ""]
        if path not in sections:
            shown = yaml.safe_dump(_reach(values, path), default_flow_style=True, width=1000)
            about = [type_of(path), f"default `{shown.removesuffix('...' + chr(10)).strip()}`"]
            lines += [f"#### `{path}` {{#{path}}}", ""] if "." in path else []
            lines += ["; ".join(filter(None, about)), ""]
        if meaning:
            lines += [html.escape(meaning.rstrip("."), quote=False) + ".", ""]
    return "\n".join(lines)


def keys(text: str) -> Iterator[Key]:
    """The keys of a YAML file in order, with the comments beside and above each."""
    above: list[str] = []
    open_braces = 0
    open_keys: list[tuple[int, str]] = []
    for line in text.splitlines():
        inside, open_braces = open_braces > 0, open_braces + line.count("{") - line.count("}")
        if line.lstrip().startswith("#"):
            open_braces = 0
            above.append(line.lstrip().removeprefix("#").strip())
        elif not inside and (match := _KEY.fullmatch(line)):
            depth = len(match["indent"])
            open_keys = [*((d, name) for d, name in open_keys if d < depth), (depth, match["name"])]
            meaning = " ".join([*above, *([match["comment"].strip()] if match["comment"] else [])])
            yield Key(".".join(name for _, name in open_keys), meaning)
            above = []
        else:
            above = []


def _reach(values: Mapping[str, Any], path: str) -> Any:
    """The value of a key; the names of Spark's settings hold dots of their own."""
    head, _, below = path.partition(".")
    inner = values[head]
    if not below:
        return inner
    return inner[below] if below in inner else _reach(inner, below)


def type_of(path: str) -> str:
    """The type of a key in words, by the schema; empty below a mapping whose keys are the user's own."""
    section: Any = Config
    for name in path.split("."):
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return ""
        field = section.model_fields[name]
        section, bounds = field.annotation, field.metadata
    return _words(section, bounds)


def _words(kind: Any, bounds: Any = ()) -> str:
    """A type annotation in words, its bounds among them."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        more = [part for one in more for part in getattr(one, "metadata", [one])]
        return _words(inner, [*bounds, *more])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in get_args(kind)))
    if get_origin(kind) in (list, tuple):
        return f"list of: {_words(get_args(kind)[0])}"
    if get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return "mapping"
    limits = [_BOUNDS[type(one)].format(one) for one in bounds if type(one) in _BOUNDS]
    return ", ".join([_PLAIN.get(kind, getattr(kind, "__name__", str(kind))), *limits])
