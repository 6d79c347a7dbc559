"""What the predictions are worth: metrics with intervals in Spark, and the report."""
