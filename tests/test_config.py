"""What a configuration accepts, and how it names what it does not."""

from pathlib import Path

import pytest
import yaml

from ncs import config
from ncs.days import Days
from ncs.errors import ConfigError
from tests.factories import ROOT

DEMO = ROOT / "conf" / "demo.yaml"


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_in_conf_is_valid_and_names_itself(path: Path) -> None:
    assert config.load(path).name == path.stem


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "train.epoch is no key of the configuration"),
        ("nothing=3", "nothing is no key"),
        ("train.epochs=three", r"train.epochs: .*valid integer \(found 'three'\)"),
        ("train.epochs=true", r"train.epochs: .*valid integer \(found True\)"),
        ("train.epochs=0", r"train.epochs: .*greater than or equal to 1"),
        ("prune.rate=1.0", r"prune.rate: .*less than 1"),
        ("workers=0", r"workers: .*greater than or equal to 1"),
        ("train.models=best", r"train.models: no model is called 'best'; there are .*connection_share"),
        ("logs.timezone=Mars/Base", r"logs.timezone: no time zone is called 'Mars/Base'"),
        ("logs.adapter=kuairand", r"logs.source must name the folder that adapter 'kuairand' reads"),
        ("split.test_days=9", r"split.test_days leaves no day of 2022-04-08..2022-04-16"),
        ("net.crosses=[[user_id, nobody]]", r"net.crosses names 'nobody'"),
        ("gates.click_rate=[0.9, 0.1]", r"gates.click_rate: a band runs from low to high"),
        ("fields={x: {side: left, encode: vocabulary}}", r"fields.x.side: .*'user', 'video' or 'context'"),
        ("fields={'a b': {side: user, encode: vocabulary}}", r"fields.a b.*pattern"),
        ("name=../up", r"name: .*pattern"),
        ("logs.days=2022-04-16..2022-04-08", "runs forward"),
        ("logs.days=2022-02-30", "is no range of days"),
        ("train.epochs", "write --set a.b=value"),
        ("train.epochs.x=1", "train.epochs|epochs is a value"),
        ("labels.window_hours=0", r"labels.window_hours: .*greater than 0"),
        ("labels.late_days=-1", r"labels.late_days: .*greater than or equal to 0"),
        ("logs.folder_day=today", r"logs.folder_day: .*'event' or 'delivery'"),
        ("spark.sql.session.timeZone=Asia/Shanghai", "times without a zone are UTC.*name the zone .* in logs.timezone"),
        ("spark.sql.timestampType=TIMESTAMP_NTZ", "spark.sql.timestampType: times without a zone are UTC"),
        ("fields=[", "not YAML"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_path(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(DEMO, [override])
    assert caught.value.exit_code == 2


def test_overrides_are_read_as_yaml_and_come_last() -> None:
    conf = config.load(DEMO, ["train.learning_rate=1e-4", "train.models=layer_share", "fields.user_id.min_count=9"])
    assert conf.train.learning_rate == 1e-4
    assert conf.train.models == ["layer_share"]
    assert conf.fields["user_id"].min_count == 9
    assert conf.fields["scene"].side == "context"


@pytest.mark.parametrize("key", ["spark.driver.memory", "spark.spark.driver.memory"])
def test_spark_settings_keep_their_dots(key: str) -> None:
    assert config.load(DEMO, [f"{key}=5g"]).spark["spark.driver.memory"] == "5g"


def test_a_variant_says_only_what_differs_but_its_fields_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"base: {ROOT}/conf/base.yaml\nname: mine\ntrain: {{epochs: 9}}\n"
        "fields: {user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}}\n"
    )
    conf = config.load(path)
    assert (conf.train.epochs, conf.train.batch_size) == (9, config.load(DEMO).train.batch_size)
    assert list(conf.fields) == ["user_id", "video_id"]
    assert conf.crosses == [("user_id", "video_id")]


def test_the_stored_form_loads_again_to_the_same(tmp_path: Path) -> None:
    conf = config.load(DEMO, ["logs.days=2022-04-08..2022-04-10"])
    path = tmp_path / "stored.yaml"
    path.write_text(yaml.safe_dump(conf.model_dump()))
    assert config.load(path) == conf
    assert config.load(path).digest() == conf.digest() != config.load(DEMO).digest()


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "name: x\nbase: nowhere.yaml\n"])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml|nowhere\.yaml"):
        config.load(path)


def test_unsafe_yaml_builds_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="not YAML"):
        config.load(path)


def test_days_split_into_training_and_test() -> None:
    conf = config.load(DEMO)
    assert (str(conf.train_days), str(conf.test_days)) == ("2022-04-08..2022-04-15", "2022-04-16")
    assert len(Days.parse("2022-02-27..2022-03-02")) == 4
    assert [str(day) for day in Days.parse("2022-02-28..2022-03-01")] == ["2022-02-28", "2022-03-01"]


def test_what_names_no_schema_and_what_holds_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"views\.into: name a schema, or catalog\.schema, of letters, digits and _"):
        config.load(DEMO, ["views.into=a b"])
    with pytest.raises(ConfigError, match=r"track\.uri: credentials do not belong into a URI") as refused:
        config.load(DEMO, ["track.uri=http://me:secret@mlflow:5000"])
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"calibration: Input should be 'isotonic'"):
        config.load(DEMO, ["calibration=platt"])


def test_a_run_of_an_earlier_version_is_read_with_the_keys_that_came_later() -> None:
    conf = config.load(
        DEMO, ["train.embedding_learning_rate=0.02", "fields={scene: {side: context, encode: vocabulary}}"]
    )
    written = conf.public()
    del written["train"]["embedding_optimizer"], written["simulate"], written["gates"]["learnt"]
    assert config.of_run({"run_id": "demo-1", "conf": written}) == conf


def test_a_run_of_a_version_with_other_keys_is_refused_by_name() -> None:
    written = config.load(DEMO).public()
    written["train"]["momentum"] = 0.9
    with pytest.raises(
        ConfigError, match=r"run demo-1 was trained by another version.*train.momentum is no key.*train it"
    ):
        config.of_run({"run_id": "demo-1", "conf": written})


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


def test_a_run_of_the_version_before_is_read() -> None:
    values = config.load(DEMO).public()
    values["systems"], values["feed"] = values.pop("models"), values.pop("data_loading")
    values["train"]["system"] = values["train"].pop("models")
    values["compare"]["systems"] = values["compare"].pop("models")
    assert config.of_run({"run_id": "old", "conf": values}) == config.load(DEMO)


def test_the_band_of_distributions_is_read_by_its_old_name(caplog: pytest.LogCaptureFixture) -> None:
    conf = config.load(DEMO, ["gates.learnt.shift=0.4", "gates.learnt.warn=[shift]"])
    assert "gates.learnt.shift is called gates.learnt.psi now" in caplog.text
    assert (conf.gates.learnt.psi, conf.gates.learnt.warn) == (0.4, ["psi"])
