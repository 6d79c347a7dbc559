"""Workers in Spark's executors, with Horovod and with torch.distributed: what two processes here end with."""

from pathlib import Path

import pytest
import torch
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline.train import complete
from ncs.config import Config
from ncs.errors import TrainingError
from ncs.lake.layout import Lake
from ncs.runs.run import Run
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import saved_state


def read_run(lake: Lake, conf: Config, spark: SparkSession) -> Run:
    job = Job(conf, lake, conf.logs.days, quiet=True)
    job.__dict__["spark"] = spark  # the application's session
    run = Run.of(conf, lake)
    complete(job, run)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["spark", "spark_torch"])
def test_workers_in_spark_end_as_local_ones_do(tmp_path: Path, spark: SparkSession, launcher: str) -> None:
    conf = toy_conf("workers=2", "train.models=layer_share", "logs.source=nowhere")
    lakes = [write_toy_lake(Lake.at(str(tmp_path / name)), conf) for name in ("here", "spark")]
    here = read_run(lakes[0], conf.with_keys({"launch.launcher": "torch"}), spark)
    there = read_run(lakes[1], conf.with_keys({"launch.launcher": launcher}), spark)
    assert there.run_id == here.run_id
    assert there.facts("layer_share").workers == [2]
    local, remote = (saved_state(run, "layer_share")["net"] for run in (here, there))
    assert all(torch.equal(weight, remote[name]) for name, weight in local.items())


@pytest.mark.slow
def test_the_message_of_a_worker_in_spark_is_heard(lake: Lake, spark: SparkSession) -> None:
    conf = toy_conf("workers=2", "train.models=layer_share", "launch.launcher=spark_torch", "train.batch_size=63")
    with pytest.raises(TrainingError, match="batch_size 63 cannot be split evenly over 2 workers"):
        read_run(write_toy_lake(lake, conf), conf, spark)
    assert not list(Path(lake.root).glob("_launch*"))
