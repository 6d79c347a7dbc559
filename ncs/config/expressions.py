"""SQL expressions in a configuration: parsed, compared with a closed list, rendered again from what was parsed.

An expression decides a task's label or condition, and a configuration may come from somebody else's `run.json`. So it
may do no more than compute with the columns of one row. What Spark gets is never the text that was written: it is
rendered from the syntax tree whose every node was checked, so that no difference between two parsers can matter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.parsers.spark import SparkParser

from ncs.errors import first_line

LONGEST = 4000
DEEPEST = 150
"""Characters of an expression, and levels of its tree: Spark's own parser recurses too."""

_ARGUMENTS = ("this", "expression")
_BINARY = (
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.And, exp.Or, exp.Is),
)
_NODES: dict[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys(_BINARY, (*_ARGUMENTS, "safe")),
    exp.Not: ("this",),
    exp.Neg: ("this",),
    exp.Paren: ("this",),
    exp.Between: ("this", "low", "high"),
    exp.In: ("this", "expressions"),
    exp.Like: (*_ARGUMENTS, "negate"),
    exp.ILike: (*_ARGUMENTS, "negate"),
    exp.Case: ("this", "ifs", "default"),
    exp.If: ("this", "true", "false"),
    exp.Cast: ("this", "to"),
    exp.TryCast: ("this", "to", "safe"),
    exp.DataType: ("this", "expressions"),
    exp.DataTypeParam: ("this",),
    exp.Anonymous: ("this", "expressions"),
    exp.Column: ("this",),
    exp.Identifier: ("this", "quoted"),
    exp.Literal: ("this", "is_string"),
    exp.Boolean: ("this",),
    exp.Null: (),
}
"""Kind of node -> what it may consist of."""

_TYPES = {
    *(exp.DType.BOOLEAN, exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT),
    *(exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.DECIMAL, exp.DType.TEXT, exp.DType.DATE, exp.DType.TIMESTAMP),
    exp.DType.TIMESTAMPTZ,  # Spark's TIMESTAMP
}

_FUNCTIONS = """
    abs sign signum negative positive greatest least round bround rint floor ceil ceiling mod pmod
    sqrt cbrt exp expm1 ln log log2 log10 log1p pow power sin cos tan asin acos atan atan2 tanh
    try_add try_subtract try_multiply try_divide width_bucket
    coalesce ifnull nvl nvl2 nullif nullifzero zeroifnull nanvl isnan isnull isnotnull
    boolean tinyint smallint int bigint float double decimal string date timestamp
    length char_length character_length lower lcase upper ucase trim ltrim rtrim substring substr left right
    instr locate startswith endswith contains concat replace reverse translate
    year quarter month day dayofmonth dayofweek weekday dayofyear weekofyear hour minute second
    to_date date_trunc trunc datediff date_diff date_add date_sub add_months months_between last_day
    unix_date unix_seconds unix_millis unix_micros unix_timestamp to_unix_timestamp
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""The functions that may be called: of the row's values alone, the same for the same row, of bounded size. Spark's own
of these names; each takes an argument at least, for without one some tell the time."""

_TAKEN = """
    current_catalog current_database current_date current_schema current_time current_timestamp current_user
    grouping__id localtimestamp session_user user _metadata
"""
_NO_COLUMNS = frozenset(_TAKEN.split())
"""Names that Spark takes for something else, quoted or not, where a table has no such column."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?")
_TEXT = re.compile(r"[^\x00-\x1f\x7f'\\]*")
_NAME = re.compile(r"[^\x00-\x1f\x7f`\\]+")


class _Row(Spark):
    """Spark's grammar, in which a function is a name with arguments, without meanings that a renderer could change."""

    class Parser(SparkParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: parser for name, parser in SparkParser.FUNCTION_PARSERS.items() if name in ("CAST", "TRY_CAST")
        }
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}


@dataclass(frozen=True)
class Expression:
    """A checked expression: the SQL that runs, and the names of the columns that it reads, in lower case."""

    sql: str
    columns: frozenset[str]


@lru_cache(maxsize=1024)
def parse_expression(text: str) -> Expression:
    """Check an SQL expression of the columns of a row, and render it again.

    Raises ValueError that says what in it goes beyond a deterministic function of the row, or is no SQL.
    """
    try:
        tree = _parse(text)
        for node in tree.walk():
            _check(node)
        sql = tree.sql(dialect=_Row, comments=False)
        if "${" in sql:  # Spark puts variables in the place of these, in strings and names too
            raise ValueError("${...} is no part of an expression")
        if _parse(sql).sql(dialect=_Row, comments=False) != sql:
            raise ValueError("it can be read in two ways; write it with parentheses")
    except SqlglotError as err:
        errors = getattr(err, "errors", None) or [{}]
        what = errors[0].get("description") or first_line(err)
        raise ValueError(f"{_short(text)} is no SQL expression: {what} (syntax)") from None
    except RecursionError:
        raise ValueError(f"{_short(text)} is nested too deeply") from None
    except ValueError as err:
        raise ValueError(f"{_short(text)}: {err}") from None
    return Expression(sql, frozenset(_columns(tree)))


def _parse(text: str) -> exp.Expr:
    if _PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null"):
        return exp.column(text)  # a column alone, even if its name is a word of SQL, as `like`
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text)} characters, at most {LONGEST} are read")
    tokens = Spark().tokenize(text)
    if any(token.comments for token in tokens):
        raise ValueError("comments have no place in an expression")
    if any(token.token_type == sqlglot.TokenType.SEMICOLON for token in tokens):
        raise ValueError("one expression is asked for, without ;")
    (tree,) = _Row().parser().parse(tokens, text) if tokens else (None,)
    if tree is None:
        raise ValueError("it is empty")
    return tree


def _check(node: exp.Expr) -> None:
    """Raises ValueError if a node is beyond the row. It also says how the node's name is quoted."""
    kind = type(node)
    parts = {key for key, value in node.args.items() if value}
    if kind not in _NODES or not parts <= {*_NODES[kind]}:
        raise ValueError(_beyond(node))
    if node.depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    if isinstance(node, exp.Anonymous):
        if str(node.this).lower() not in FUNCTIONS:
            raise ValueError(f"{node.name} is no function of one row that may be called (conf/base.yaml lists them)")
        if not node.expressions:
            raise ValueError(f"{node.name} takes an argument")
    elif isinstance(node, exp.In) and not node.expressions:
        raise ValueError("IN compares with one value at least")
    elif isinstance(node, exp.DataType):
        if node.this not in _TYPES or (node.expressions and node.this != exp.DType.DECIMAL):
            raise ValueError(f"{node.sql(dialect=_Row)} is no plain type to cast to")
    elif isinstance(node, exp.DataTypeParam) and not _NUMBER.fullmatch(node.name):
        raise ValueError("the size of a type is a number")
    elif isinstance(node, exp.Literal):
        if not (_TEXT if node.is_string else _NUMBER).fullmatch(node.name):
            raise ValueError(f"{node.name!r}: a text in an expression holds no quote, backslash or control character")
    elif isinstance(node, exp.Identifier):
        if not _NAME.fullmatch(node.name) or node.name.lower() in _NO_COLUMNS:
            raise ValueError(f"{node.name!r} is no name of a column")
        keyword = node.name.upper() in Spark.Tokenizer.KEYWORDS
        node.set("quoted", keyword or not _PLAIN.fullmatch(node.name))


def _beyond(node: exp.Expr) -> str:
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
        return f"{node.sql(dialect=_Row)}: a column is named alone, without a table before it"
    return (
        f"{_short(node.sql(dialect=_Row))} ({type(node).__name__}) is beyond a row of the samples; it has "
        "columns, numbers, texts, arithmetic, comparisons, AND, OR, NOT, CASE, IF, CAST, BETWEEN, IN, LIKE, IS NULL "
        "and functions of these"
    )


def _columns(tree: exp.Expr) -> Iterator[str]:
    """Spark resolves names without regard to case."""
    return (column.name.lower() for column in tree.find_all(exp.Column))


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
