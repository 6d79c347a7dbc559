"""Configurations and runs of earlier versions are still read."""

from pathlib import Path

import pytest

from ncs import config
from ncs.errors import ConfigError
from tests.factories import DEMO, ROOT


def test_a_run_of_an_earlier_version_is_read_with_the_keys_that_came_later() -> None:
    conf = config.load(
        DEMO, ["train.embedding_learning_rate=0.02", "fields={scene: {side: context, encode: vocabulary}}"]
    )
    written = conf.public()
    del written["train"]["embedding_optimizer"], written["simulate"], written["gates"]["learnt"]
    assert config.from_run({"run_id": "demo-1", "conf": written}) == conf


def test_a_run_of_a_version_with_other_keys_is_refused_by_name() -> None:
    written = config.load(DEMO).public()
    written["train"]["momentum"] = 0.9
    with pytest.raises(
        ConfigError, match=r"run demo-1 was trained by another version.*train.momentum is no key.*train it"
    ):
        config.from_run({"run_id": "demo-1", "conf": written})


def test_keys_of_the_version_before_are_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(
        f"base: {ROOT}/conf/base.yaml\nname: old\ntrain: {{system: [shallow]}}\nfeed: {{memory_rows: 7}}\n"
        "systems: {shallow: {module: layer_share, set: {net.hidden: [8]}}}\n"
    )
    conf = config.load(path, ["compare.systems=[shallow]"])
    assert conf.train.models == conf.compare.models == ["shallow"]
    assert conf.data_loading.memory_rows == 7
    assert "connection_share" in conf.models, "the base's catalogue is still there"
    assert f"{path}: systems is called models now" in caplog.text
    assert "--set compare.systems: compare.systems is called compare.models now" in caplog.text


def test_keys_that_mean_nothing_any_more_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert config.load(DEMO, ["compare.resamples=50", "promote.resamples=50"]) == config.load(DEMO)
    assert "compare.resamples means nothing any more, it is left out" in caplog.text
    values = config.load(DEMO).public()
    values["compare"]["resamples"] = values["promote"]["resamples"] = 400
    assert config.from_run({"run_id": "old", "conf": values}) == config.load(DEMO)


def test_a_run_of_the_version_before_is_read() -> None:
    values = config.load(DEMO).public()
    values["systems"], values["feed"] = values.pop("models"), values.pop("data_loading")
    values["train"]["system"] = values["train"].pop("models")
    values["compare"]["systems"] = values["compare"].pop("models")
    assert config.from_run({"run_id": "old", "conf": values}) == config.load(DEMO)


def test_the_band_of_distributions_is_read_by_its_old_name(caplog: pytest.LogCaptureFixture) -> None:
    conf = config.load(DEMO, ["gates.learnt.shift=0.4", "gates.learnt.warn=[shift]"])
    assert "gates.learnt.shift is called gates.learnt.psi now" in caplog.text
    assert (conf.gates.learnt.psi, conf.gates.learnt.warn) == (0.4, ["psi"])
