# Databricks notebook source
# MAGIC %md
# MAGIC # Labels and data quality
# MAGIC What the logs say about clicks and watching, day by day, and what was set aside. A bad day shows here first: a click
# MAGIC rate that jumps, labels that are missing, rows that pile up in the quarantine.
# MAGIC
# MAGIC Set the widget `lake` (or, outside Databricks, the variable `NCS_LAKE`) to look at another lake.

# COMMAND ----------

# MAGIC %pip install --quiet --no-deps --constraint ../requirements.txt .. deltalake arro3-core sqlglot

# COMMAND ----------

from matplotlib import pyplot as plt

from ncs.notebook import start

notebook = start(globals())

# COMMAND ----------

# MAGIC %md
# MAGIC ## Day by day
# MAGIC `clicked` is known for every impression. `cvr` = watched / length is known only where somebody clicked and the length
# MAGIC of the video is known; `unlabelled_share` is the part of the clicks where it is not.

# COMMAND ----------

days = notebook.sql("SELECT * FROM v_daily_label_quality ORDER BY day")
notebook.show(days, digits=4)

# COMMAND ----------

names = days["day"].astype(str).str[5:]
figure, (rows, rates, ends) = plt.subplots(1, 3, figsize=(13, 3.2), layout="constrained")
rows.bar(names, days["impressions"], color="#56b4e9")
rows.set(title="impressions", ylim=(0, None))
for column, label in (("click_rate", "click rate"), ("mean_cvr", "mean CVR"), ("unlabelled_share", "no CVR label")):
    rates.plot(names, days[column], "o-", label=label)
rates.set(title="rates", ylim=(0, 1))
for column, label in (("not_played_share", "not played (0)"), ("watched_whole_share", "to the end (1)")):
    ends.plot(names, days[column], "o-", label=label)
ends.set(title="ends of the CVR label", ylim=(0, None))
for axis in (rows, rates, ends):
    axis.tick_params(axis="x", rotation=60)
for axis in (rates, ends):
    axis.legend()

# COMMAND ----------

# MAGIC %md
# MAGIC ## How far videos are watched
# MAGIC The CVR labels of all clicks, and their mean by the length of the video: long videos are seldom watched to the end, so
# MAGIC a mean CVR says little without the length beside it.

# COMMAND ----------

histogram = notebook.sql(
    """SELECT least(floor(cvr * 20), 19) / 20 AS low, count(*) AS clicks FROM {silver/samples}
    WHERE cvr IS NOT NULL GROUP BY ALL ORDER BY low"""
)
lengths = notebook.sql(
    """SELECT CASE WHEN length_seconds < 15 THEN 'under 15 s' WHEN length_seconds < 30 THEN '15 to 30 s'
      WHEN length_seconds < 60 THEN '30 to 60 s' WHEN length_seconds < 120 THEN '60 to 120 s' ELSE '120 s and more'
      END AS length, min(length_seconds) AS shortest, count(*) AS labelled, avg(cvr) AS mean_cvr,
      avg(watched_seconds) AS mean_watched_seconds
    FROM {silver/samples} WHERE cvr IS NOT NULL GROUP BY ALL ORDER BY shortest"""
)
notebook.show(lengths.drop(columns="shortest"), digits=3)

# COMMAND ----------

figure, (spread, by_length) = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained")
spread.bar(histogram["low"], histogram["clicks"], width=0.05, align="edge", color="#d55e00")
spread.set(title="CVR labels", xlabel="watched / length", ylabel="clicks")
by_length.barh(lengths["length"], lengths["mean_cvr"], color="#0072b2")
by_length.set(title="mean CVR by length of the video", xlim=(0, 1))
by_length.invert_yaxis()

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was set aside, and why
# MAGIC Rows that cannot be right go to `silver/quarantine` with their reason and the raw row; nothing is dropped in silence.

# COMMAND ----------

reasons = notebook.sql(
    "SELECT log, reason, count(*) AS rows FROM {silver/quarantine} GROUP BY ALL ORDER BY log, reason"
)
if len(reasons):
    notebook.show(reasons)
else:
    print("nothing was set aside")

# COMMAND ----------

if len(reasons):
    figure, axis = plt.subplots(figsize=(7, 0.8 + 0.3 * len(reasons)), layout="constrained")
    axis.barh(reasons["log"] + ": " + reasons["reason"], reasons["rows"], color="#cc79a7")
    axis.set(title="rows set aside, all days", xlabel="rows")
    axis.invert_yaxis()
