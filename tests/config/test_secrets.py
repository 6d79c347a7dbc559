"""What says that it is secret is neither stored nor shown."""

import pytest

from ncs import config
from ncs.values import redact
from tests.factories import DEMO


def test_what_says_that_it_is_secret_is_kept_nowhere() -> None:
    conf = config.load(
        DEMO,
        [
            "spark.driver.extraJavaOptions=-Xmx1g -Djavax.net.ssl.trustStorePassword=hunter2",
            "spark.my.url=jdbc:x://me:hunter2@db/x",
            "spark.hadoop.fs.azure.sas.c.a=hunter2",
            "spark.executor.memory=2g",
            "tasks.x={label: cast(token = 'a' as int), loss: cross_entropy, metric: auc}",
        ],
    )
    assert "hunter2" not in str(conf.public())
    assert conf.public()["spark"]["spark.executor.memory"] == "2g"
    assert config.from_run({"run_id": "x", "conf": conf.public()}).tasks == conf.tasks


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3a://me:hunter2@bucket/x is gone", "s3a://me:*(redacted)*@bucket/x is gone"),
        ("https://a/c?sv=1&sig=hunter2%3D&se=2", "https://a/c?sv=1&sig=*(redacted)*&se=2"),
        ("-Dfoo.password=hunter2 -Dx=1", "-Dfoo.password=*(redacted)* -Dx=1"),
        ('{"token": "hunter2 hunter2", "n": 1}', '{"token": *(redacted)*, "n": 1}'),
        ("Authorization: Bearer hunter2.x", "Authorization: Bearer *(redacted)*"),
        ("fs.s3a.secret.key=hunter2", "fs.s3a.secret.key=*(redacted)*"),
        ("abfss://logs@reconciled.dfs.core.windows.net/x", "abfss://logs@reconciled.dfs.core.windows.net/x"),
        ("http://mlflow:5000/x, design=3, all tokens", "http://mlflow:5000/x, design=3, all tokens"),
    ],
)
def test_secrets_in_texts_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown
