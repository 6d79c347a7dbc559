# Databricks notebook source
# MAGIC %md
# MAGIC # Masks: what the tasks share, and where they pull apart
# MAGIC Every task keeps a part of the net's connections. A connection that both tasks keep is shared; one that a single task
# MAGIC keeps is out of the other's reach. This notebook shows how far the masks overlap, which inputs shared and own
# MAGIC connections read, and how often a step of one task would undo a step of the other.

# COMMAND ----------

# MAGIC %pip install --quiet --no-deps --constraint ../requirements.txt .. deltalake arro3-core sqlglot

# COMMAND ----------

from matplotlib import pyplot as plt

from ncs.notebook import start

notebook = start(globals())
masks = notebook.sql("SELECT * FROM {gold/masks} WHERE run_id = {run}")
models = sorted(masks["model"].unique())
print(f"models with masks: {', '.join(models)}" if models else "no model of this run has masks")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Overlap by pruning round
# MAGIC Jaccard: connections in both masks / connections in any of them. Two masks that had nothing to do with each other would
# MAGIC overlap as far as the dotted lines: what lies above them is agreement, not chance.

# COMMAND ----------

overlap = notebook.sql(
    "SELECT * FROM v_mask_overlap WHERE run_id = {run} ORDER BY model, round NULLS LAST, layer"
).drop(columns="run_id")
notebook.show(overlap.astype({"round": "Int64"}).astype({"round": object}).fillna({"round": "given"}), digits=3)

# COMMAND ----------

for model in models:
    rows = overlap[(overlap["model"] == model) & overlap["round"].notna()]
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for number, (layer, found) in enumerate(rows.groupby("layer")):
        axis.plot(found["round"], found["jaccard"], "o-", color=f"C{number}", label=layer)
        axis.plot(found["round"], found["by_chance"], ":", color=f"C{number}")
    axis.set(title=f"overlap of the masks of {model}", xlabel="pruning round", ylabel="Jaccard", ylim=(0, 1.03))
    axis.legend(title="dotted: expected at random")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Density against quality
# MAGIC What a task reaches on validation while its mask gets sparser, round by round. A flat line says that the pruned
# MAGIC connections were not needed. The cross is the round whose mask the task was given.

# COMMAND ----------

whole = masks[(masks["layer"] == "all") & masks["round"].notna()]
quality = whole.pivot_table(index=["model", "task", "round"], columns="figure", values="value").reset_index()
for model in models:
    rows = quality[(quality["model"] == model) & quality["validation"].notna()]
    tasks = sorted(rows["task"].unique())
    figure, axes = plt.subplots(1, len(tasks), figsize=(4.5 * len(tasks), 3.2), layout="constrained", squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        found = rows[rows["task"] == task].sort_values("round")
        axis.plot(found["density"], found["validation"], "o-")
        if "chosen" in found:
            chosen = found[found["chosen"] == 1]
            axis.plot(chosen["density"], chosen["validation"], "x", color="black", markersize=12)
        axis.set(title=f"{task.upper()} of {model}", xlabel="share of connections kept", ylabel="validation figure")
        axis.invert_xaxis()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Which inputs shared connections read
# MAGIC The first layer sees the embedding of every field and every cross of a user's and a video's field. Each bar is one of
# MAGIC them, parted by who keeps its connections.

# COMMAND ----------

shares = (masks["figure"] == "shared") | masks["figure"].str.endswith("_only")
inputs = masks[masks["input"].notna() & shares & (masks["input"] != "all")]
for model in sorted(inputs["model"].unique()):
    rows = inputs[inputs["model"] == model].pivot(index="input", columns="figure", values="value")
    rows = rows.sort_values("shared")
    figure, axis = plt.subplots(figsize=(8, 0.9 + 0.24 * len(rows)), layout="constrained")
    left = 0.0
    for kind in ["shared", *(name for name in rows.columns if name != "shared")]:
        axis.barh(rows.index, rows[kind], left=left, label=kind.replace("_", " "))
        left = left + rows[kind]
    axis.set(title=f"connections of the first layer of {model}, by input", xlabel="share of the input's connections")
    axis.legend()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Where the tasks' gradients conflict
# MAGIC The cosine between the two tasks' gradients: above 0 a step of one also helps the other, below 0 it undoes part of it.
# MAGIC `theta` is the whole net before the masks, `final` the trained subnetworks. `negative` is the share of pairs of batches
# MAGIC in which the tasks pulled apart.

# COMMAND ----------

conflict = masks[masks["figure"].str.startswith(("cosine", "negative"))]
conflict = conflict.pivot_table(index=["model", "layer"], columns="figure", values="value").reset_index()
if len(conflict):
    notebook.show(conflict, digits=3)
else:
    print("this run has not kept any")

# COMMAND ----------

for model, rows in conflict.groupby("model"):
    figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
    for offset, when in ((-0.2, "theta"), (0.2, "final")):
        places = [place + offset for place in range(len(rows))]
        axis.bar(places, rows[f"cosine_{when}"], width=0.38, label=when)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(rows)), rows["layer"])
    axis.set(title=f"cosine of the tasks' gradients, {model}")
    axis.legend()
