# Databricks notebook source
# MAGIC %md
# MAGIC # Which model is better, by how much, and where
# MAGIC All figures are of the test days, which no model has seen. Models are compared row by row: a difference is settled where
# MAGIC its own interval excludes 0, whether or not the intervals of the two figures overlap. One run settles it for its seed of
# MAGIC training; `ncs compare` trains several seeds, and where it has run, its differences stand below.

# COMMAND ----------

# MAGIC %pip install --quiet --no-deps --constraint ../requirements.txt .. deltalake arro3-core sqlglot

# COMMAND ----------

from matplotlib import pyplot as plt

from ncs.evaluation.models import look
from ncs.metrics import METRICS
from ncs.notebook import start

notebook = start(globals())

# COMMAND ----------

# MAGIC %md
# MAGIC ## The figures
# MAGIC AUC: how often a clicked impression ranks above one that was not; GAUC: the same within each user, which is what a
# MAGIC ranking is about. MSE and log loss: less is better. Spearman: whether the order of the predicted CVR is right. ECE: how
# MAGIC far predictions are from what happens, on average. `better` compares with the baseline; `difference` is the paired one
# MAGIC from it, `low` to `high` its 95 % interval, `settled` whether that excludes 0. Metrics without a paired difference have none.

# COMMAND ----------

comparison = notebook.sql("SELECT * FROM v_model_comparison WHERE run_id = {run} ORDER BY task, metric, rank, model")
shown = ["task", "metric", "rank", "model", "value", "difference", "low", "high", "better", "settled"]
notebook.show(comparison[shown])

# COMMAND ----------

paired = comparison[comparison["settled"].notna()]
panels = list(paired.groupby(["task", "metric"]))
figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 2.8), layout="constrained", squeeze=False)
for axis, ((task, metric), rows) in zip(axes[0], panels, strict=True):
    sign = 1 if METRICS[metric].more_is_better else -1
    for place, row in enumerate(rows.itertuples()):
        colour, marker = look(row.model)
        axis.plot([sign * row.low, sign * row.high], [place, place], color=colour)
        axis.plot(sign * row.difference, place, marker, color=colour, fillstyle="full" if row.settled else "none")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), rows["model"])
    axis.set(title=f"{task.upper()} {METRICS[metric].title}", ylim=(len(rows) - 0.5, -0.5))
    axis.set_xlabel("← worse · better →")
    axis.locator_params(axis="x", nbins=5)
if panels:
    figure.suptitle(f"Difference from {paired['baseline'].iloc[0]}, 95 % interval")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Calibration
# MAGIC Of impressions with a predicted click rate of 0.3, three in ten should be clicked. Points on the diagonal are right,
# MAGIC below it promises are too high. What ranks by the product of pCTR and pCVR needs both to be right, not only in order.

# COMMAND ----------

slices = notebook.sql("SELECT * FROM {gold/slices} WHERE run_id = {run} ORDER BY model, task, slice, place, part")
bins = slices[(slices["slice"] == "prediction") & (slices["n"] >= 20)]
tasks = sorted(slices["task"].unique())
figure, axes = plt.subplots(1, len(tasks), figsize=(4.6 * len(tasks), 4), layout="constrained", squeeze=False)
for axis, task in zip(axes[0], tasks, strict=True):
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for model, rows in bins[(bins["task"] == task) & (bins["model"] != "truth")].groupby("model"):
        colour, marker = look(model)
        axis.plot(rows["prediction"], rows["label"], f"{marker}-", color=colour, markersize=3, label=model)
    axis.set(title=task.upper(), xlabel="predicted", ylabel="what happened", xlim=(0, 1), ylim=(0, 1))
    axis.legend()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Where they err
# MAGIC Log loss by length of the video, place in the feed, and how often user and video were shown on the training days. The
# MAGIC bars are 95 % intervals of each figure by itself.

# COMMAND ----------

names = [name for name in slices["slice"].unique() if name not in ("all", "prediction", "calibrated")]
for task in tasks:
    if not names:
        break
    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3.6), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        rows = slices[(slices["task"] == task) & (slices["slice"] == name) & (slices["n"] >= 2)]
        order = list(dict.fromkeys(rows.sort_values(["place", "part"])["part"]))
        for model, found in rows.groupby("model"):
            places = [order.index(part) for part in found["part"]]
            (colour, marker), half = look(model), 1.96 * found["log_loss_error"]
            axis.errorbar(places, found["log_loss"], half, fmt=f"{marker}-", color=colour, capsize=2, label=model)
        axis.set_xticks(range(len(order)), order, rotation=45, ha="right")
        axis.set(title=f"{task.upper()} by {name}", ylabel="log loss")
    axes[0][0].legend(fontsize=7)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Over several seeds
# MAGIC From the newest `ncs compare`: differences with 95 % intervals over seeds and test rows together. A win is claimed
# MAGIC (`better`) only where Holm's correction over all differences from the reference leaves it.

# COMMAND ----------

if notebook.has("gold/differences"):
    differences = notebook.sql(
        """SELECT model, reference, task, metric, difference, low, high, better FROM {gold/differences}
        WHERE made_at = (SELECT max(made_at) FROM {gold/differences}) ORDER BY task, reference, model"""
    )
    notebook.show(differences)
else:
    print("not compared over several seeds yet: run `ncs compare`")
