"""Predict a few of the encoded samples with a run's ConnectionShare: python predict.py LAKE."""

import sys

from jobs.pipeline.runs import latest_run
from ncs.kinds.arrays import stack
from ncs.lake.layout import Lake
from ncs.runs.predictor import Predictor

lake = Lake.at(sys.argv[1])
run = latest_run(lake)
conf = run.configuration
model = Predictor.load(lake.uri("models", run.run_id), "connection_share", conf, run.sizes)

table = "gold/ctr_samples"
rows = lake.read(table, run.lineage.tables[table], ["impression_id", *conf.layout.names]).slice(0, 3)
columns = {name: rows[name].to_pandas().to_numpy() for name in conf.layout.names}
predicted = model.predict(*stack(conf.layout, columns, len(rows)))  # ids and numbers, in the layout's columns
for n, impression in enumerate(rows["impression_id"].to_pylist()):
    print(impression, {task: round(float(values[n]), 4) for task, values in predicted.items()})
