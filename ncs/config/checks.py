"""Checks across sections of a configuration."""

from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ncs.config.learning import Variant
from ncs.errors import ConfigError
from ncs.kinds import Hashed, IdList, IdSlot, Vocabulary
from ncs.values import LARGEST, LARGEST_SEED, problems

if TYPE_CHECKING:
    from ncs.config.schema import Config

KEYS = ("impression_id", "day", "split", "day_number")
"""The columns of every sample table that are neither a feature nor a label."""

OUTCOMES = ("clicked", "watched_seconds", "cvr")
"""The columns of silver/samples that follow from clicks and plays."""

_TAKEN = """
    T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu items keys
    load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters pop
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type update values xpu zero_grad
"""
_MODULE_NAMES = frozenset(_TAKEN.split())
"""The attributes of torch's ModuleDict, which takes no key that is one of them: tasks are its keys. They are listed,
for the configuration is read without torch; more of them begin with `_`."""


def check_features(conf: "Config") -> None:
    """Raises ValueError for a feature that knows a label, what is known only after the impression was shown, and for
    one whose name the sample tables give to another column.
    """
    known = dict.fromkeys(OUTCOMES, "says what happened after the impression")
    for name, task in conf.tasks.items():
        known |= dict.fromkeys(task.columns - known.keys(), f"is what tasks.{name} is computed from")
    for field in conf.fields:
        if field.lower() in KEYS:
            raise ValueError(f"fields.{field}: the sample tables have a column {field.lower()} already; leave it out")
        if field.lower() in known:
            raise ValueError(f"fields.{field}: {field} {known[field.lower()]}, so it is no feature; leave it out")
    for statistics in conf.statistics:
        for name in statistics.by:
            if name.lower() in known:
                raise ValueError(f"statistics by {statistics.group}: {name} {known[name.lower()]}; leave it out of by")


def check_split(conf: "Config") -> None:
    """Raises ValueError if no day is left to train on, whatever days there are."""
    if conf.window.train is not None and conf.window.train <= conf.split.days:
        raise ValueError(
            f"window.train: {conf.window.train} leaves no day to train on beside those of split.validation, "
            f"{conf.split.validation}; name more, or validate on a share of the impressions as 0.1"
        )
    if conf.has_learning_days and conf.test_length >= len(conf.learning_days):
        raise ValueError(f"split.test_days leaves no day of {conf.learning_days} for training")


def check_references(conf: "Config") -> None:
    """Raises ValueError where a field or a history names another field that cannot be what it needs, or twice a name.

    Before anything asks for `Config.features`.
    """
    spelt: dict[str, str] = {}
    for name, field in conf.fields.items():
        first = spelt.setdefault(name.lower(), name)
        if first != name:
            raise ValueError(
                f"fields.{name}: differs from fields.{first} in case alone, which Spark does not see; leave out one"
            )
        if table := getattr(field, "table", None):
            _check_table(conf, name, table)
    for name, history in conf.history.items():
        for of in history.of:
            if of not in conf.fields:
                raise ValueError(f"history.{name}.of: {of} is not among fields; add it there, or leave it out")
            slot = conf.fields[of].slot(of)
            if not isinstance(slot, IdSlot) or slot.is_list:
                kind = conf.fields[of].encode
                raise ValueError(f"history.{name}.of: {of} is encode: {kind}, a history is of fields of one id a row")
    seen = {name.lower(): f"fields.{name}" for name in conf.fields}
    derived = [(f"statistics by {feature.group}", list(feature.fields)) for feature in conf.statistics]
    derived += [(f"history.{name}", list(feature.fields(name, conf.fields))) for name, feature in conf.history.items()]
    for key, names in derived:
        for name in names:
            if other := seen.get(name.lower()):
                raise ValueError(f"{key}: its feature {name} is called like one of {other}; leave out one of the two")
            seen[name.lower()] = key


def _check_table(conf: "Config", name: str, table: str) -> None:
    """The field whose table another shares has one of its own, and ids of the same kind."""
    field, other = conf.fields[name], conf.fields.get(table)
    where = f"fields.{name}.table"
    if other is None:
        raise ValueError(f"{where}: {table} is not among fields; name one whose values it has")
    if table == name or getattr(other, "table", None):
        raise ValueError(f"{where}: {table} has no table of its own; name the field that has, or leave it out")
    if isinstance(field, Hashed) and not (isinstance(other, Hashed) and other.size == field.size):
        raise ValueError(f"{where}: {table} is not hashed to {field.size} ids too; give it the same size")
    if not isinstance(field, Hashed) and not isinstance(other, Vocabulary | IdList):
        raise ValueError(f"{where}: {table} is encode: {other.encode}, it has no vocabulary to share; leave it out")
    if (name in conf.logs.text_ids) != (table in conf.logs.text_ids):
        raise ValueError(f"{where}: of {name} and {table} one alone is in logs.text_ids; name both there, or none")
    if name in conf.logs.text_ids and isinstance(field, IdList) and field.separator:
        raise ValueError(f"fields.{name}.separator: logs.text_ids has {name}, whose ids stand in arrays; write it so")


def check_tasks(conf: "Config") -> None:
    """Raises ValueError for a task's name that a net, or a table of predictions, cannot tell from another."""
    seen: dict[str, str] = {}
    for name in conf.tasks:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"tasks.{name}: differs from tasks.{other} in case alone, which Spark does not see; rename it"
            )
        if name in _MODULE_NAMES or name.startswith("_"):
            raise ValueError(
                f"tasks.{name}: nets and tables have parts of that name already; give the task another one"
            )


def check_size(conf: "Config") -> None:
    """Raises ValueError for a net that no machine has the memory for."""
    width = conf.net.embedding
    crossed = width * width if conf.net.interaction == "kronecker" else 1
    fed = len(conf.layout.vectors) * width + 2 * conf.layout.number_width + len(conf.crosses) * crossed
    weights = sum(left * right for left, right in pairwise([fed, *conf.net.hidden]))
    if weights > LARGEST:
        raise ValueError(f"net.hidden: layers of {weights:,} weights; {LARGEST:,} are the most")


def _check_try(conf: "Config", where: str, key: str, value: object) -> None:
    """Raises ConfigError where a try cannot set a key to a value."""
    try:
        Variant(set={key: value})
        conf.with_keys({key: value})
    except ValidationError as err:
        raise ConfigError(f"{where}: {'; '.join(problems(err))}") from None
    except ConfigError as err:
        raise ConfigError(f"{where}: {err}") from None


def check_names(conf: "Config") -> None:
    """Raises ConfigError where a key of the whole catalogue names a model, or sets a key, that there is not."""
    ranked = [name for pair in conf.simulate.pairs for name in pair]
    endpoint = conf.compare.endpoint
    asked = [endpoint.model, *endpoint.controls] if endpoint else []
    listed = {"compare.references": conf.compare.references, "compare.endpoint": asked, "simulate.pairs": ranked}
    for key, names in listed.items():
        for name in names:
            if name not in conf.models:
                raise ConfigError(f"{key}: no model is called {name!r}; there are {', '.join(conf.models)}")
    spaces = {f"models.{name}.space": variant.space or {} for name, variant in conf.models.items()}
    for where, space in {"compare.space": conf.compare.space, **spaces}.items():
        for key, choices in space.items():
            for value in choices:
                _check_try(conf, where, key, value)
    if conf.train.seed + conf.comparison_seeds - 1 > LARGEST_SEED:
        raise ConfigError(f"train.seed: with compare.seeds the last seed is beyond {LARGEST_SEED}")
