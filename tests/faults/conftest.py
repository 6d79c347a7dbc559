"""The undisturbed lakes that faults are held against."""

from collections.abc import Callable
from functools import cache

import pytest
from pyspark.sql import SparkSession

from tests.faults.lakes import Chain, Kind

Chains = Callable[[Kind, str], Chain]


@pytest.fixture(scope="session")
def chains(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Chains:
    """The undisturbed lakes of each kind, run as far as somebody asks for."""

    @cache
    def chain(kind: Kind, last: str) -> Chain:
        return Chain.run(tmp_path_factory.mktemp(last), kind, last)

    return chain
