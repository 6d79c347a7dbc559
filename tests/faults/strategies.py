"""Random inputs of every kind that a user hands over: configurations, expressions, stored JSON, raw logs."""

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.factories import ROOT

BASE: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "base.yaml").read_text())


def _paths(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of nested mappings, as a path from the top."""
    inner = values.items() if isinstance(values, dict) else ()
    return [*([path] if path else []), *(found for key, value in inner for found in _paths(value, (*path, key)))]


KEYS = [path for path in _paths(BASE) if path != ("logs", "source")]
"""Of the configuration; but the one that says which folder is read."""
WORDS = [
    *("", " ", "null", "none", "true", "0", "-1", "1e999", "nan", "inf", "all", "auto", "a b", "a.b", "../x", "/", "~"),
    *(
        "class",
        "keys",
        "type",
        "Ctr",
        "_x",
        "day",
        "clicked",
        "cvr",
        "user_id",
        "x" * 300,
        "数据",
        "ünï",
        "\u2028",
        "\0",
    ),
    *("<script>", "$x$", "'; --", "${HOME}", "env:NOPE", "file:/dev/null", "spark.x", "2022-04-08", "2022-04-08..x"),
]
NUMBERS = [0, 1, -1, 2, 255, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400]
NUMBERS_REAL = [0.0, -0.0, 0.5, 1.0, 1e-300, 1e300, float("inf"), float("nan"), -1.5]
texts = st.sampled_from(WORDS) | st.text(max_size=8)
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(NUMBERS_REAL) | texts | st.integers()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
"""What may stand in YAML or JSON."""


def similar(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same kind as a key's default, so that many of them are taken."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(0, 40) | st.sampled_from(NUMBERS)
    if isinstance(value, float):
        return st.floats(0, 1) | st.sampled_from(NUMBERS_REAL)
    if isinstance(value, list) and value:
        return st.lists(similar(value[0]) | st.sampled_from(value), max_size=3)
    if isinstance(value, dict) and value:
        known = st.sampled_from(list(value.values()))
        return st.dictionaries(st.sampled_from(list(value)) | texts, known, max_size=3)
    return st.sampled_from(WORDS) | st.just(value)


def default(path: Sequence[str]) -> Any:
    """What `conf/base.yaml` has at a path of keys."""
    return reduce(lambda section, name: section[name], path, BASE)


@st.composite
def settings(draw: st.DrawFn) -> dict[str, Any]:
    """A few keys of the configuration, or keys that there are not, with any values."""
    found: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)):
        section = found
        for name in path[:-1]:
            section = section.setdefault(name, {}) if isinstance(section, dict) else {}
        key = path[-1] if draw(st.integers(0, 9)) else draw(texts)
        if isinstance(section, dict):
            section[key] = draw(similar(default(path)) if draw(st.integers(0, 3)) else values)
    return found


@st.composite
def configuration_files(draw: st.DrawFn) -> bytes:
    """A configuration as bytes: odd values, odd encodings, odd YAML."""
    text = "base: base.yaml\nname: fuzz\n" + yaml.safe_dump(draw(settings()), allow_unicode=draw(st.booleans()))
    if draw(st.integers(0, 5)) == 0:
        lines = text.splitlines(keepends=True)
        at = draw(st.integers(0, len(lines)))
        odd = draw(
            st.sampled_from([*lines, "\t", "a: &a [*a]\n", "<<: 1\n", "- x\n", "? [a]\n", "a: [\n", "base: .\n"])
        )
        text = "".join([*lines[:at], odd, *lines[at:]])
    encoding = draw(st.sampled_from([*["utf-8"] * 8, "utf-8-sig", "latin-1", "gbk", "utf-16", "utf-32-le"]))
    content = text.encode(encoding, "replace" if encoding in ("latin-1", "gbk") else "surrogatepass")
    return damage(draw, content) if draw(st.integers(0, 7)) == 0 else content


def overrides() -> st.SearchStrategy[str]:
    """What may stand after `--set`."""
    known = st.sampled_from(KEYS).flatmap(
        lambda path: st.builds("{}={}".format, st.just(".".join(path)), similar(default(path)).map(json.dumps) | plain)
    )
    plain = values.map(json.dumps) | texts
    return known | known | st.builds("{}={}".format, texts, plain) | texts


def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes that are cut, lengthened or changed at one place."""
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    odd = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\0", b"\xff\xfe", b"[" * 3000, b"\r"]))
    return draw(st.sampled_from([content[:at], content[:at] + odd + content[at:], content[:at] + odd, content + odd]))


@st.composite
def changed_json(draw: st.DrawFn, content: bytes) -> bytes:
    """A stored document in another state: any JSON, keys lost or of other types, bytes changed."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(st.sampled_from([b"", b" \n", b"null", b"[]", b"{}", b'"x"', b"7", b"\xff\xfe{}", b"[" * 100_000]))
    if kind == 1:
        return damage(draw, content)
    lines = content.decode().splitlines()
    jsonl = len(lines) > 1 and lines[0].startswith("{") and lines[0].endswith("}")
    value = json.loads(lines[0]) if jsonl else json.loads(content)
    for _ in range(draw(st.integers(1, 2))):
        value = _changed(draw, value, 4)
    changed = json.dumps(value)
    return "\n".join([changed, *lines[1:]] if jsonl else [changed]).encode("utf-8", "surrogatepass")


def _changed(draw: st.DrawFn, value: Any, depth: int) -> Any:
    """A value with one thing in it changed."""
    inner = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not inner or not depth or draw(st.integers(0, 4)) == 0:
        return draw(values)
    key = draw(st.sampled_from(inner))
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if draw(st.integers(0, 3)) == 0:
        del copy[key]
    else:
        copy[key] = _changed(draw, value[key], depth - 1)
    return copy


_ATOMS = (
    "clicked cvr watched_seconds length_seconds position scene ts user_id 0 1 -1 2.5 1e3 'x' '12' '' null true Scene"
)
_CALLS = """
    float({}) int({}) abs({}) sqrt({}) ln({}) hour({}) length({}) year({}) isnull({}) upper({}) date_trunc('day',{})
    coalesce({},{}) greatest({},{}) mod({},{}) nvl({},{}) concat({},{}) try_divide({},{}) pow({},{}) datediff({},{})
    cast({}|as|int) cast({}|as|float) cast({}|as|date) try_cast({}|as|double) ({}) not({}) -{} round({},2)
    substr({},1,1) {}+{} {}-{} {}*{} {}/{} {}%{} {}||{} {}={} {}<{} {}>={} {}<>{} {}<=>{} {}|and|{} {}|or|{} {}|like|{}
    {}|in|({},{})
    {}|between|{}|and|{} {}|is|null case|when|{}|then|{}|else|{}|end if({},{},{}) rand() now() sum({}) count(*)
    reflect('a',{}) (select|{}) explode(array({})) uuid() {}.x {}[0] {}::int ${{x}} current_date input_file_name()
"""
"""Forms of expressions, `|` for a space: those that are allowed, and some that are not."""
expressions = st.recursive(
    st.sampled_from(_ATOMS.split()),
    lambda inner: st.builds(
        lambda form, parts: form.replace("|", " ").format(*parts) if "||" not in form else "||".join(parts[:2]),
        st.sampled_from(_CALLS.split()),
        st.lists(inner, min_size=3, max_size=3),
    ),
    max_leaves=6,
)
"""SQL expressions, most of them of columns of the samples."""


def write(path: Path, content: bytes) -> Path:
    """Write a file, and give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
