# Databricks notebook source
# MAGIC %md
# MAGIC # What ranking by the models would do to view time
# MAGIC Simulated visitors answer to rankings by `pCTR * pCVR * length`: the paper's Table 3. Every arm ranks with a pair of
# MAGIC models, one for each factor. `oracle` ranks by the truth and `random` at random: the two ends of what a ranking can do.
# MAGIC `A/A` is the first arm again, with users of its own: what differs there is chance.

# COMMAND ----------

# MAGIC %pip install --quiet --no-deps --constraint ../requirements.txt .. deltalake arro3-core sqlglot

# COMMAND ----------

from matplotlib import pyplot as plt

from ncs.notebook import start

notebook = start(globals())
simulated = notebook.has("gold/simulations")
simulated = simulated and len(notebook.sql("SELECT 1 FROM v_simulation WHERE run_id = {run} LIMIT 1")) > 0
if not simulated:
    print("nothing was simulated with this run yet: run `ncs simulate` (synthetic logs only)")

# COMMAND ----------

# MAGIC %md
# MAGIC ## At the end of the test
# MAGIC `gain` is what an A/B test over buckets of users sees, `paired_gain` what all users together say when each is asked
# MAGIC under both rankings. `settled`: 0 is outside even for whoever looks every day and stops when it is.

# COMMAND ----------

if simulated:
    newest = "simulation_id = (SELECT max_by(simulation_id, made_at) FROM v_simulation WHERE run_id = {run})"
    arms = notebook.sql(f"SELECT * FROM v_simulation WHERE {newest} ORDER BY metric DESC, day, arm")
    final = arms[arms["is_final"]]
    shown = ["metric", "arm", "users", "value", "gain", "gain_low", "gain_high", "settled"]
    shown += ["paired_gain", "paired_low", "paired_high"]
    notebook.show(final[shown], digits=4)
    split = final["sample_ratio"].min()
    print(f"sample ratio: p = {split:.3f}, {'as it should be' if split > 0.001 else 'the split is broken'}")

# COMMAND ----------

if simulated:
    metrics = list(dict.fromkeys(final["metric"]))
    figure, axes = plt.subplots(1, len(metrics), figsize=(5 * len(metrics), 3.2), layout="constrained", sharey=True)
    for axis, metric in zip(axes, metrics, strict=True):
        rows = final[(final["metric"] == metric) & final["gain"].notna()]
        for shift, kind, prefix in ((-0.15, "A/B test", "gain"), (0.15, "all users, paired", "paired_gain")):
            value, ends = rows[prefix], [rows[f"{prefix.removesuffix('_gain')}_{end}"] for end in ("low", "high")]
            places = [place + shift for place in range(len(rows))]
            axis.errorbar(
                100 * value, places, xerr=[100 * (value - ends[0]), 100 * (ends[1] - value)], fmt="o", label=kind
            )
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(rows)), rows["arm"])
        axis.set(title=metric, xlabel="difference from the first arm, %")
    axes[0].legend(fontsize=7)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Day by day
# MAGIC View time's difference from the first arm, all days up to each. An early look is a noisy one: the band of the A/A
# MAGIC arm is what chance alone does.

# COMMAND ----------

if simulated:
    rows = arms[(arms["metric"] == "view_seconds") & arms["gain"].notna() & ~arms["arm"].isin(["oracle", "random"])]
    figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
    for arm, found in rows.groupby("arm"):
        axis.plot(found["day"], 100 * found["gain"], "o-", label=arm)
        if arm == "A/A":
            axis.fill_between(found["day"], 100 * found["gain_low"], 100 * found["gain_high"], alpha=0.15, color="grey")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(title="view seconds a visit, difference from the first arm", xlabel="day", ylabel="%")
    axis.legend(fontsize=7)
