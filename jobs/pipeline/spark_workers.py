"""Workers in the executors of the Spark application that prepared the data."""

from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

from jobs.pipeline.worker import work
from ncs.config import Launch
from ncs.errors import TrainingError, first_line
from ncs.lake import storage
from ncs.training import cluster


def launch_on_spark(spark: SparkSession, conf: Launch, workers: int, order: str, error: str) -> None:
    """Train as an order asks, each worker in a task of a barrier stage; `launch.launcher` says with which collectives.

    The executors need this package and as many free slots as there are workers. Raises TrainingError with the message
    that a worker left at the URI `error`.
    """
    settings = cluster.environment(conf, error)
    try:
        if conf.launcher == "spark":
            import horovod.spark

            horovod.spark.run(in_executor, (order, settings), num_proc=workers, use_gloo=True, verbose=0)
        else:
            TorchDistributor(workers, local_mode=False, use_gpu=False).run(in_executor, order, settings)
    except Exception as err:
        if storage.exists(error):
            raise TrainingError(storage.read_bytes(error).decode()) from None
        raise TrainingError(
            f"the workers in Spark did not come to an end ({type(err).__name__}: {first_line(err)}); have the "
            f"executors {workers} free slots and this package? The same command goes on from the last epoch"
        ) from None


def in_executor(order: str, settings: dict[str, str]) -> None:
    """The body of a Spark task."""
    import os

    os.environ.update(settings)
    work(order)
