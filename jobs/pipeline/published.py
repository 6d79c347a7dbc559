"""The champion and the candidate in MLflow's model registry too, where `track.uri` names one.

The lake's registry decides; MLflow's follows it, and a call that was killed between the two is caught up by the next.
"""

import logging
from pathlib import Path

from jobs.job import Job
from jobs.pipeline.chosen import load
from ncs import tracking
from ncs.errors import ExportError
from ncs.lake.registry import ModelRef
from ncs.tasks import named_tasks


def publish(job: Job, alias: str, ref: ModelRef) -> None:
    """Give a model its alias in MLflow's registry, where it is exported to if it is not there yet.

    Models that cannot be exported are named and left out. Raises ConfigError if MLflow refuses, or is not installed.
    """
    track = job.conf.track
    if track.uri is None:
        return
    chosen = load(job.lake, ref)
    name = track.model or chosen.conf.name

    def write(folder: Path) -> None:
        import pyarrow  # noqa: F401  (before torch: the other order has crashed)

        from jobs.pipeline import served_model
        from ncs.serving.export import export

        if chosen.conf.privacy.key is not None:
            raise ExportError(served_model.PSEUDONYMS)
        nets, tasks = chosen.predictor(job.lake).nets, named_tasks(chosen.conf).values()
        programs = {task.prediction: export(nets[task.name], task).files["onnx"] for task in tasks}
        served_model.save(job.lake, chosen, programs, folder)

    tags = tracking.tags(chosen.described, ref.model, job.lake.uri("models", ref.run_id, chosen.key))
    try:
        version = tracking.register(track.uri, track.experiment, name, alias, tags, write)
    except ExportError as err:
        logging.getLogger(__name__).warning("%s is not in MLflow's registry: %s", ref, err)
        return
    job.say(f"track: {ref} is {name} version {version}, {alias}, {track.uri}")
