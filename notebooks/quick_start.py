# Databricks notebook source
# MAGIC %md
# MAGIC # Quick start: labels, masks, comparison
# MAGIC Reads the lake that `make demo` leaves. Set the widget `lake` (or, outside Databricks, the variable `NCS_LAKE`)
# MAGIC to another root to look at your own.

# COMMAND ----------

# MAGIC %pip install --quiet --no-deps --constraint ../requirements.txt .. deltalake arro3-core sqlglot

# COMMAND ----------

from matplotlib import pyplot as plt
from pyspark.sql import functions as F

from jobs.pipeline.runs import read_run
from ncs.evaluation.models import look
from ncs.lake import layout, storage
from ncs.notebook import start
from ncs.tasks import in_order, named_tasks

notebook = start(globals())
spark, lake, run_id = notebook.spark, notebook.lake, notebook.run
run = read_run(lake, run_id)
conf, models = run.configuration, run.models
tasks = in_order(named_tasks(conf).values())
print(f"models: {', '.join(models)}")


def table(name):
    return spark.read.format("delta").load(lake.uri(name))


# COMMAND ----------

# MAGIC %md
# MAGIC ## Labels by day
# MAGIC `clicked` is known for every impression, `cvr` = watched / length only where it was clicked.

# COMMAND ----------

labels = (
    table(layout.SAMPLES)
    .groupBy("day")
    .agg(
        F.count("*").alias("impressions"),
        F.avg("clicked").alias("click_rate"),
        F.count("cvr").alias("labelled"),
        F.avg("cvr").alias("mean_cvr"),
    )
    .orderBy("day")
    .toPandas()
)
notebook.show(labels)

# COMMAND ----------

figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.plot(labels["day"].astype(str), labels["click_rate"], "o-", label="click rate")
axis.plot(labels["day"].astype(str), labels["mean_cvr"], "o-", label="mean CVR")
axis.set(ylim=(0, 1), title="labels by day", xlabel="day", ylabel="share")
axis.tick_params(axis="x", rotation=45)
axis.legend()

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was set aside, and why

# COMMAND ----------

reasons = table(layout.QUARANTINE).groupBy("log", "reason").count().orderBy("log", "reason").toPandas()
notebook.show(reasons)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Masks
# MAGIC How much of each layer a task keeps, round by round, and how much of it CTR and CVR both keep. Two masks that had
# MAGIC nothing to do with each other would overlap as `expected at random` says.

# COMMAND ----------

paths = {model: lake.uri("models", run_id, conf.models[model].key(model), "masks.json") for model in models}
masked = {model: storage.read_json(path) for model, path in paths.items() if storage.exists(path)}
for model, masks in masked.items():
    for task, rounds in masks["rounds"].items():
        for one in rounds:
            chosen = "  <- chosen" if one["round"] == masks["chosen"][task] else ""
            kept = ", ".join(f"{layer} {share:.0%}" for layer, share in one["density"].items())
            seen = "not validated" if one["validation"] is None else f"validation {one['validation']:.5f}"
            print(f"{model}, {task} round {one['round']}: keeps {kept}; {seen}{chosen}")

# COMMAND ----------

for model, masks in masked.items():
    panels = len(masks["rounds"]) + 1
    figure, axes = plt.subplots(1, panels, figsize=(4 * panels, 3.2), layout="constrained", sharey=True)
    for axis, (task, rounds) in zip(axes, masks["rounds"].items(), strict=False):
        for layer in masks["layers"]:
            numbers = [one["round"] for one in rounds]
            axis.plot(numbers, [one["density"][layer] for one in rounds], "o-", label=layer)
        axis.set(title=f"{task.upper()} mask of {model}", ylabel="share of connections kept")
    rounds = [one["round"] for one in masks["overlap"]]
    for number, layer in enumerate(name for name in masks["overlap"][0]["jaccard"] if name != "all"):
        for kind, style, note in (("jaccard", "o-", ""), ("chance", ":", ", expected at random")):
            shares = [one[kind][layer] for one in masks["overlap"]]
            axes[-1].plot(rounds, shares, style, color=f"C{number}", label=f"{layer}{note}")
    left, right, *_ = masks["rounds"]
    axes[-1].set(title=f"overlap of the {left.upper()} and {right.upper()} masks", ylabel="Jaccard: in both / in any")
    for axis in axes:
        axis.set(xlabel="pruning round", ylim=(0, 1.03), xticks=rounds)
        axis.legend()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Which model is better
# MAGIC Each task by its metric, mean squared error (less is better) or AUC (more is better), with 95 % intervals over the
# MAGIC test impressions. `truth` is what the generator itself would reach, where the logs are synthetic. `difference` is from
# MAGIC the baseline on the same impressions, `low` to `high` its 95 % interval; it is `settled` where that excludes 0.

# COMMAND ----------

comparison = notebook.sql(
    """SELECT task, metric, model, value, ci_low, ci_high, baseline, difference, low, high, settled
    FROM v_model_comparison WHERE run_id = {run} AND metric IN ('mse', 'auc') ORDER BY task, model"""
)
notebook.show(comparison)

# COMMAND ----------

figure, axes = plt.subplots(1, len(tasks), figsize=(5 * len(tasks), 2.8), layout="constrained")
for axis, task in zip(axes, tasks, strict=True):
    rows = comparison[(comparison["task"] == task.name) & comparison["model"].isin(models)]
    for place, row in enumerate(rows.itertuples()):
        colour, marker = look(row.model)
        axis.plot([row.ci_low, row.ci_high], [place, place], color=colour)
        axis.plot(row.value, place, marker, color=colour)
    axis.set_yticks(range(len(rows)), rows["model"])
    axis.set(title=f"{task.title}, {task.measure.direction}", ylim=(len(rows) - 0.5, -0.5))
