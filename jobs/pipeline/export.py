"""Write each task's subnetwork of a finished run as a small model to serve: torch.export (.pt2), ONNX, a card."""

from collections.abc import Mapping
from typing import Any

import pyarrow  # noqa: F401  (before torch: the other order has crashed)

from jobs.export import MODEL
from jobs.job import Job
from jobs.pipeline import served_model
from jobs.pipeline.chosen import Chosen, load, run_and_model
from jobs.pipeline.runs import folders, read_run
from ncs.errors import ConfigError, ExportError
from ncs.lake import storage
from ncs.lake.registry import ModelRef
from ncs.runs.predictor import Predictor
from ncs.serving.export import Program, export
from ncs.soundness import unsound
from ncs.tasks import in_order, named_tasks
from ncs.text import aligned


def run(job: Job, run_id: str | None = None, model: str = MODEL, task: str | None = None) -> None:
    """Export the tasks that are asked for; all are checked before the first is written."""
    run_id, model = run_and_model(job.lake, run_id, model)
    described = read_run(job.lake, run_id)
    conf = described.configuration
    known, tasks = folders(described, conf), named_tasks(conf)
    _check_unknown("--model", [model], known, described.run_id)
    asked = task.split(",") if task else [task.name for task in in_order(tasks.values())]
    _check_unknown("--task", asked, tasks, described.run_id)
    folder = job.lake.uri("models", described.run_id)
    _check_unsound(storage.join(folder, known[model], "facts.json"), model, asked)
    predictor = Predictor.load(folder, model, conf, described.sizes)
    provenance = {
        "run_id": described.run_id,
        "model": model,
        "tables": described.lineage.tables,
        "git": described.lineage.git,
    }
    programs = {}
    for name in asked:
        job.say(f"export: {name} of {model}, run {described.run_id}")
        programs[name] = export(predictor.nets[name], tasks[name])
    place = storage.join(folder, known[model], "serving")
    for name, program in programs.items():
        write(place, name, program, provenance)
    if set(asked) == set(tasks):
        _write_served(job, load(job.lake, ModelRef(described.run_id, model)), programs)
    print("\n".join([*table(programs), "", f"models: {place}"]))


def _write_served(job: Job, chosen: Chosen, programs: Mapping[str, Program]) -> None:
    """The MLflow model of all tasks; the programs are there without it where MLflow is not installed."""
    predictions = {task.prediction: programs[name].files["onnx"] for name, task in named_tasks(chosen.conf).items()}
    try:
        path = served_model.write(job, chosen, predictions)
    except ExportError as err:
        job.say(f"export: {err}")
        return
    if path:
        job.say(f"export: MLflow model in {path}, to serve by `mlflow models serve --env-manager local -m {path}`")


def write(place: str, task: str, program: Program, provenance: dict[str, Any]) -> None:
    """Write a task's files, each whole or not at all; the card, which goes last, is there with its files alone."""
    card = storage.join(place, f"{task}.json")
    storage.remove(card)
    for ending, content in program.files.items():
        storage.write_bytes(storage.join(place, f"{task}.{ending}"), content)
    storage.write_json(card, {**provenance, **program.card})


def table(programs: dict[str, Program]) -> list[str]:
    """The reduction in size, one line per task."""
    header = ["task", "layers", "parameters", "multiplications a row", "of one request", "pt2", "onnx"]
    lines = [[*header, "largest difference"]]
    for name, program in programs.items():
        card = program.card
        request = card["request"]["macs"]
        lines.append(
            [
                name,
                " -> ".join("x".join(map(str, card["layers"][when])) for when in ("before", "after")),
                *(f"{card[key]['before']:,} -> {card[key]['after']:,}" for key in ("parameters", "macs")),
                f"{request['row']:,}" if request else "-",
                *(f"{card['bytes'][ending] / 1e6:.2f} MB" for ending in ("pt2", "onnx")),
                f"{max(card['difference'].values()):.1e}",
            ]
        )
    return aligned(lines)


def _check_unsound(path: str, model: str, asked: list[str]) -> None:
    """Raises ExportError for a task that has learnt nothing, or what it cannot have learnt."""
    for task, why in unsound(storage.read_json(path) if storage.exists(path) else None, asked):
        raise ExportError(
            f"{task} of {model} is not exported: {why} ({path}). Look at fields, tasks and prune, and train it again"
        )


def _check_unknown(flag: str, asked: list[str], known: dict[str, Any], run_id: str) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ConfigError(f"{flag} names {', '.join(unknown)}, run {run_id} has {', '.join(known)}; name one of these")
