"""What is shown of an error of Java's."""

import pytest

from ncs.errors import root_cause

STOPPED = """An error occurred while calling o38.load.
: java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.
	at org.apache.spark.SparkContext.assertNotStopped(SparkContext.scala:122)
"""
FAILED = """An error occurred while calling o7.save.
: org.apache.spark.SparkException: Job aborted due to stage failure.
	at org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2897)
Caused by: java.io.IOException: No space left on device
	at java.base/java.io.FileOutputStream.writeBytes(Native Method)
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (STOPPED, "java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext."),
        (FAILED, "java.io.IOException: No space left on device"),
        ("it is not there\nlook elsewhere", "it is not there"),
    ],
)
def test_the_cause_is_named_and_not_the_call(text: str, shown: str) -> None:
    assert root_cause(Exception(text)) == shown
