"""Evaluation of predictions: metrics with intervals in Spark, comparisons, and the report."""
