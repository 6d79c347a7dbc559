"""Print the figures of a lake's runs: python query.py LAKE."""

import sys

from ncs.lake.layout import EVALUATIONS, Lake

lake = Lake.at(sys.argv[1])
columns = ["model", "task", "metric", "value", "ci_low", "ci_high", "n"]
figures = lake.read(EVALUATIONS, lake.version(EVALUATIONS), columns).to_pandas()
print(figures[figures["metric"].isin(["auc", "mse"])].sort_values(["task", "metric", "value"]).to_string(index=False))
