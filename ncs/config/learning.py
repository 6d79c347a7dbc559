"""Sections on learning: tasks, nets, training, mask search, the catalogue of models."""

import pkgutil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ncs.config.expressions import parse_expression
from ncs.metrics import judging
from ncs.values import Count, Few, Many, NonNegative, Part, Positive, Rate, Section, Seed, digest

Members = Annotated[int, Field(ge=1, le=256)]
"""Networks beside each other, or levels of them."""
Dropout = Annotated[float, Field(ge=0, lt=1)]
"""The share of values that is dropped."""
MODULES = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent.parent / "models")])]
"""The models that there is code for; found without importing them, for they import the configuration."""

WITH_TREES = ("gbdt", "blend")
"""Those that have trees: each training begins from nothing, and `net.blend` names none of them."""


class TaskLabel(Section):
    """A task: what its label is, where it has one, how it is learnt and judged."""

    label: Annotated[str, Field(min_length=1)]
    where: str | None = None
    loss: Literal["cross_entropy", "squared_error", "focal"]
    weight: Positive = 1.0
    metric: str

    @field_validator("label", "where")
    @classmethod
    def _of_the_row_alone(cls, expression: str | None) -> str | None:
        if expression is not None:
            parse_expression(expression)
        return expression

    @field_validator("metric")
    @classmethod
    def _judges_tasks(cls, name: str) -> str:
        if name not in judging():
            raise ValueError(f"Input should be {' or '.join(map(repr, judging()))}")
        return name

    @property
    def condition(self) -> str:
        """Where it has a label: `where`, or wherever the label is not null."""
        return f"({parse_expression(self.label).sql}) IS NOT NULL" if self.where is None else self.where

    @property
    def columns(self) -> frozenset[str]:
        """The columns that its label or its condition is computed from, in lower case."""
        return parse_expression(self.label).columns | parse_expression(self.condition).columns


class Ple(Section):
    """Experts of PLE: their numbers in a level, and the levels."""

    shared: Members
    own: Members
    levels: Members


class Snr(Section):
    """Sub-network routing: sub-networks a level, the L0 penalty of an open gate, how fast gates learn."""

    subnets: Members
    l0: NonNegative
    rate: Positive = 1.0


class Esm2(Section):
    """The post-click actions of ESM²."""

    played: Rate


class Gbdt(Section):
    """Gradient boosted trees."""

    trees: Many
    leaves: Annotated[int, Field(ge=2, le=65536)]
    learning_rate: Positive
    min_rows: Many
    share: Annotated[float, Field(gt=0, le=1)]
    categories: Annotated[int, Field(ge=0, le=65536)]
    patience: Few


class Net(Section):
    """Sizes of the networks."""

    embedding: Annotated[int, Field(ge=1, le=4096)]
    interaction: Literal["kronecker", "dot"]
    hidden: Annotated[list[Annotated[int, Field(ge=1, le=65536)]], Field(min_length=1, max_length=64)]
    crosses: Literal["user*video"] | list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    mask_output: bool
    norm: Literal["none", "layer"]
    dropout: Dropout
    embedding_dropout: Dropout
    members: Members
    experts: Members
    ple: Ple
    snr: Snr
    esm2: Esm2
    gbdt: Gbdt
    blend: str

    @field_validator("blend")
    @classmethod
    def _is_a_net(cls, name: str) -> str:
        nets = [module for module in MODULES if module not in WITH_TREES]
        if name not in nets:
            raise ValueError(f"Input should be {' or '.join(map(repr, nets))}")
        return name


def as_list(value: Any) -> Any:
    """One name may stand where a list of names is asked for."""
    return [value] if isinstance(value, str) else value


class Train(Section):
    """The models to train, and for how long."""

    models: Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
    epochs: Few
    patience: Few
    refit: bool
    average: Part
    batch_size: Many
    learning_rate: Positive
    embedding_learning_rate: Positive
    embedding_optimizer: Literal["adam", "adagrad"]
    embeddings: Literal["replicated", "sharded"]
    weight_decay: NonNegative
    embedding_weight_decay: NonNegative
    embedding_l2: NonNegative
    seed: Seed
    threads: Few | None
    models_at_once: Few | None
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    order: Literal["shuffled", "alternate"]
    masked_state: bool


class Prune(Section):
    """The mask search."""

    score: Literal["magnitude", "movement", "distance", "fisher", "random"]
    rate: Rate
    rates: dict[str, Rate]
    rounds: Annotated[int, Field(ge=0, le=1000)]
    scope: Literal["global", "layer"]
    granularity: Literal["connection", "input"]
    select: Literal["best", "last"]
    theta_epochs: Annotated[float, Field(ge=0, le=10_000)]
    at_once: bool
    overlap_price: Annotated[float, Field(ge=0, lt=1)]

    def pruning_rate(self, task: str) -> float:
        """Share of the weights still alive that a round prunes from a task."""
        return self.rates.get(task, self.rate)


class Share(Section):
    """The use of the masks that were found, and what the tasks have beside them."""

    masks: str
    towers: bool
    task_biases: bool


class Variant(Section):
    """An entry of the catalogue: a module of `ncs.models`, and keys that it sets otherwise."""

    module: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Annotated[list[Any], Field(min_length=1)]] | None = None
    """What a try but the first draws from; None: from `compare.space`."""

    def key(self, name: str) -> str:
        """What its folder in a run is called: another definition is another model."""
        if not self.set and self.module in (None, name):
            return name
        return f"{name}-{digest([self.module or name, self.set])[:6]}"

    @field_validator("module")
    @classmethod
    def _known_module(cls, name: str | None) -> str | None:
        if name is not None and name not in MODULES:
            raise ValueError(f"ncs.models has no module {name!r}; there are {', '.join(MODULES)}")
        return name

    @field_validator("set")
    @classmethod
    def _of_the_model_alone(cls, overrides: dict[str, Any]) -> dict[str, Any]:
        for key in overrides:
            if key.split(".")[0] not in ("net", "train", "prune", "share", "tasks"):
                raise ValueError(f"{key!r} is not of a model alone; it may set keys of net, train, prune, share, tasks")
            if key.removeprefix("train.") in ("models", "batch_size", "seed", "threads", "models_at_once", "device"):
                raise ValueError(f"{key!r} is the same for all models of a run")
        return overrides


class Endpoint(Section):
    """The question that a comparison is made for: a model, and what it has to be better than."""

    model: str
    controls: Annotated[list[str], Field(min_length=1)]
    margin: NonNegative


class Compare(Section):
    """The comparison of models: which, how often, what is tried for each."""

    models: Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
    seeds: Few | None
    tries: Few
    space: dict[str, Annotated[list[Any], Field(min_length=1)]]
    test_rows: Annotated[int, Field(ge=0, le=100_000_000)]
    rows: Count
    references: list[str]
    endpoint: Endpoint | None
