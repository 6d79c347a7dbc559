"""The model that MLflow's server loads: it runs this file, beside which MLflow has put the package `ncs` (`code`)."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from ncs.serving.raw import RawScorer


class Served(PythonModel):
    """Raw values of rows -> pctr, pcvr, predictions of further tasks, rankscore."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read encoder and programs."""
        self._scorer = RawScorer.load(context.artifacts["model"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A row a row, in their order."""
        columns = {name: model_input[name].tolist() for name in model_input.columns}
        return pd.DataFrame(self._scorer.predict(columns))


set_model(Served())
