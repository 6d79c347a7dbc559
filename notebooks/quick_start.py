# Databricks notebook source
# MAGIC %md
# MAGIC # Quick start: labels, masks, comparison
# MAGIC Reads the lake that `make demo` leaves. Set the widget `lake` to another root to look at your own.

# COMMAND ----------

import os

from matplotlib import pyplot as plt
from pyspark.sql import functions as F

from ncs.lake import layout, storage
from ncs.lake.layout import Lake

try:  # on Databricks
    dbutils.widgets.text("lake", "lake/demo")
    root = dbutils.widgets.get("lake")
except NameError:
    root = os.environ.get("NCS_LAKE", "lake/demo")
try:
    spark
except NameError:
    from ncs import config
    from ncs.lake.session import spark_session

    spark = spark_session(config.load("conf/demo.yaml"))

lake = Lake.at(root)


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
print(labels.to_string(index=False))

# COMMAND ----------

figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.plot(labels["day"].astype(str), labels["click_rate"], "o-", label="click rate")
axis.plot(labels["day"].astype(str), labels["mean_cvr"], "o-", label="mean CVR")
axis.set(ylim=(0, 1), title="labels by day")
axis.tick_params(axis="x", rotation=45)
axis.legend()

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was set aside, and why

# COMMAND ----------

reasons = table(layout.QUARANTINE).groupBy("log", "reason").count().orderBy("log", "reason").toPandas()
print(reasons.to_string(index=False))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Masks
# MAGIC How much of each layer a task keeps, round by round, and how much of it both tasks keep. Two masks that had
# MAGIC nothing to do with each other would overlap as `by chance` says.

# COMMAND ----------

run_id = storage.read_json(lake.uri("models", "latest.json"))["run_id"]
masks = storage.read_json(lake.uri("models", run_id, "connection_share", "masks.json"))
for task, rounds in masks["rounds"].items():
    for one in rounds:
        chosen = "  <- chosen" if one["round"] == masks["chosen"][task] else ""
        print(
            f"{task} round {one['round']}: {one['density']['all']:.0%} kept, validation {one['validation']:.5f}{chosen}"
        )

# COMMAND ----------

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for task, rounds in masks["rounds"].items():
    axes[0].plot([one["round"] for one in rounds], [one["density"]["all"] for one in rounds], "o-", label=task)
axes[0].set(title="connections kept", xlabel="pruning round", ylim=(0, 1.03))
axes[0].legend()
for kind, style in (("jaccard", "o-"), ("chance", ":")):
    axes[1].plot(
        [one["round"] for one in masks["overlap"]],
        [one[kind]["all"] for one in masks["overlap"]],
        style,
        label="overlap" if kind == "jaccard" else "by chance",
    )
axes[1].set(title="overlap of the two masks (Jaccard)", xlabel="pruning round", ylim=(0, 1.03))
axes[1].legend()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Which system is better
# MAGIC CVR by mean squared error (less is better), CTR by AUC (more is better), with 95 % intervals over the test
# MAGIC impressions. `truth` is what the generator itself would reach, where the logs are synthetic.

# COMMAND ----------

comparison = (
    table(layout.EVALUATIONS)
    .where((F.col("run_id") == run_id) & F.col("metric").isin("mse", "auc"))
    .select("task", "metric", "system", "value", "ci_low", "ci_high", "gain")
    .orderBy("task", "system")
    .toPandas()
)
print(comparison.to_string(index=False))

# COMMAND ----------

figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
for axis, (task, metric) in zip(axes, (("cvr", "mse"), ("ctr", "auc")), strict=True):
    rows = comparison[(comparison["task"] == task) & (comparison["system"] != "truth")]
    middle, low, high = rows["value"], rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]
    axis.errorbar(middle, rows["system"], xerr=[low, high], fmt="o")
    axis.set_title(f"{task.upper()} {metric.upper()}")
