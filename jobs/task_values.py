"""Task values, which a task of a Databricks job passes to later tasks. Elsewhere nothing is passed."""

import os


def hand_on(**values: str) -> None:
    """Set task values, which a later task reads as `{{tasks.<task>.values.<name>}}`."""
    if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        return
    from databricks.sdk.runtime import dbutils

    for name, value in values.items():
        dbutils.jobs.taskValues.set(key=name, value=value)
