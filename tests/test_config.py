"""What a configuration accepts, and how it names what it does not."""

import os
from pathlib import Path

import pytest
import yaml

from ncs import config
from ncs.days import Days
from ncs.errors import ConfigError
from ncs.logs.pseudonyms import Pseudonyms
from ncs.values import redact
from tests.factories import ROOT, toy_conf

DEMO = ROOT / "conf" / "demo.yaml"
TASK = "{label: cast(cvr >= 0.5 as float), loss: cross_entropy, metric: auc}"


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_in_conf_is_valid_and_names_itself(path: Path) -> None:
    assert config.load(path).name == path.stem


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "train.epoch is no key of the configuration"),
        ("nothing=3", "nothing is no key"),
        (f"tasks.keys={TASK}", "tasks.keys: nets and tables have parts of that name already"),
        (f"tasks._x={TASK}", "tasks._x: nets and tables have parts of that name already"),
        (f"tasks.CVR={TASK}", "tasks.CVR: differs from tasks.cvr in case alone"),
        ("train.epochs=three", r"train.epochs: .*valid integer \(found 'three'\)"),
        ("train.epochs=true", r"train.epochs: .*valid integer \(found True\)"),
        ("train.epochs=0", r"train.epochs: .*greater than or equal to 1"),
        ("prune.rate=1.0", r"prune.rate: .*less than 1"),
        ("workers=0", r"workers: .*greater than or equal to 1"),
        ("train.models=best", r"train.models: no model is called 'best'; there are .*connection_share"),
        ("logs.timezone=Mars/Base", r"logs.timezone: no time zone is called 'Mars/Base'"),
        ("logs.timezone=right/Europe/Berlin", r"logs.timezone: no time zone is called 'right/Europe/Berlin'"),
        ("logs.timezone=posixrules", r"logs.timezone: no time zone is called 'posixrules'"),
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
        (
            "spark.sql.session.timeZone=Asia/Shanghai",
            "always UTC, not 'Asia/Shanghai'; leave it out; logs.timezone names",
        ),
        ("spark.sql.files.ignoreCorruptFiles=true", "spark.sql.files.ignoreCorruptFiles: .* always false, not True"),
        ("spark.sql.sources.partitionOverwriteMode=dynamic", "always static, not 'dynamic'; leave it out$"),
        (
            "spark.sql.ansi.enabled=false",
            "spark.sql.ansi.enabled: what tables hold depends on it, so it is always true",
        ),
        ("spark.sql.extensions=a.b.C", "spark.sql.extensions: tables need Delta's io.delta.sql.*; name it too"),
        ("spark.sql.timestampType=TIMESTAMP_NTZ", "spark.sql.timestampType: .* always TIMESTAMP_LTZ"),
        ("fields=[", "not YAML"),
        ("prune.theta_epochs=.inf", r"prune.theta_epochs: a finite number is asked for \(found inf\)"),
        ("train.learning_rate=.nan", r"train.learning_rate: a finite number"),
        ("compare.space={train.weight_decay: [0.0, .inf]}", r"compare.space.train.weight_decay: a finite number"),
        ("slices.position=[1, .inf]", r"slices.position: a finite number"),
        ("train.seed=-1", r"train.seed: .*greater than or equal to 0"),
        ("train.seed=4294967296", r"train.seed: .*less than or equal to 4294967295"),
        ("encode.seed=9223372036854775808", r"encode.seed: a number of 64 bits"),
        ("logs.seed=1" + 5000 * "0", r"--set logs.seed, line 1: not YAML: a number of [\d,]+ characters"),
        ("train.seed=4294967294", r"train.seed: with compare.seeds the last seed is beyond"),
        ("net.hidden=[65536, 65536]", r"net.hidden: layers of .* weights"),
        ("net.hidden=[1000000000000]", r"net.hidden.*: .*less than or equal to 65536"),
        ("train.batch_size=1000000000000", r"train.batch_size: .*less than or equal to"),
        ("logs.synthetic.users=1000000000000", r"logs.synthetic.users: .*less than or equal to"),
        ("labels.window_hours=1e300", r"labels.window_hours: .*less than or equal to 8784"),
        ("prune.theta_epochs=1e300", r"prune.theta_epochs: .*less than or equal to"),
        ("launch.stall_seconds=100000000", r"launch.stall_seconds: .*less than or equal to"),
        ("launch.hosts='-oProxyCommand:1'", r"launch.hosts: .*pattern"),
        ("launch.network='--x'", r"launch.network: .*pattern"),
        ("logs.days=20222-04-08", "logs.days: '20222-04-08' is no range of days"),
        ("logs.days=0022-04-08..0022-04-16", "logs.days: .*the year 22 is not within 1990 and 2100"),
        ("logs.days=2022-04-08..2922-04-16", "logs.days: .*the year 2922 is not within"),
        ("logs.days=2002-04-08..2022-04-16", "logs.days: .*a range of 7,314 days, 3,660 are the most"),
        ("logs.days=20220408", "logs.days: 20220408 is no range of days"),
        ("train={epochs: 3, epochs: 4}", r"--set train, line 1: not YAML: the key 'epochs' stands in line 1 too"),
        ("compare.references=[nobody]", r"compare.references: no model is called 'nobody'; there are single_task"),
        ("simulate.pairs=[[nobody, single_task]]", r"simulate.pairs: no model is called 'nobody'"),
        (
            "models.gbdt.space={net.gbdt.leaves: [1]}",
            r"models.gbdt.space: net.gbdt.leaves: .*or equal to 2",
        ),
        ("compare.space={train.nothing: [1]}", r"compare.space: train.nothing is no key"),
        ("compare.space={logs.seed: [1]}", r"compare.space: set: 'logs.seed' is not of a model alone"),
        ("compare.space={train.learning_rate: [-1.0]}", r"compare.space: train.learning_rate: .*greater than 0"),
        ("prune.rates={nobody: 0.4}", r"prune.rates names 'nobody'"),
        ('name="a\\u0007b"', r"name: a text holds no control characters"),
        ('logs.source="a\\0b"', r"logs.source: a text holds no control characters"),
        ('track.experiment="\\ud800"', r"not YAML|control characters"),
        ("logs.source=https://a.blob/c?sv=1&sig=abcd", r"logs.source: credentials do not belong into a URI"),
        ("offpolicy.source=s3a://me:mine@bucket", r"offpolicy.source: credentials do not belong into a URI"),
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


LAUGHS = b"a0: &a0 [1]\n"
LAUGHS += b"".join(b"a%d: &a%d [%s*a%d]\n" % (n, n, b"*a%d, " % (n - 1) * 8, n - 1) for n in range(1, 9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"name: x\ntrain: {epochs: 3}\ntrain: {batch_size: 64}\n", "line 3: .*'train' stands in line 2 too"),
        (b"base: base.yaml\nname: x\nfields:\n  a: 1\n  'a': 2\n", "line 5: .*'a' stands in line 4 too"),
        (b"base: base.yaml\nname: x # caf\xe9\n", "line 2: not UTF-8, byte 0xe9; convert the file"),
        ("name: x\n".encode("utf-16"), "line 1: not UTF-8"),
        (b"base: [a, b]\nname: x\n", r"base names one file, not \['a', 'b'\]"),
        (b"base: ''\nname: x\n", "base names one file"),
        (b"base: 0\nname: x\n", "base names one file"),
        (b"base: .\nname: x\n", r"no configuration can be read at .*regular file"),
        (b"base: nowhere.yaml\nname: x\n", "No such file"),
        (b'base: "a\\0b"\nname: x\n', "no path has a null character"),
        (b"base: " + b"x" * 5000, "File name too long"),
        (b"name: x\ntrain: {seed: " + b"9" * 6000 + b"}\n", "line 2: not YAML: a number of 6,000 characters"),
        (b"base: bad.yaml\nname: x\n", "names itself as its base"),
        (b"base: ../conf/./bad.yaml\nname: x\n", "names itself as its base"),
        (b"base: other.yaml\nname: x\n", "names itself as its base"),
        (b"a: &a [*a]\nname: x\n", "nested more than 50 deep"),
        (b"a: " + b"[" * 5000, "not YAML"),
        (LAUGHS, "more than 100,000 values"),
        (b"name: x\n" + b"#" * 1_000_000, "more than 1,000,000 bytes"),
        (b"? [a]\n: b\n", "not YAML"),
        (b"name: x\na: \0\n", "line 2: not YAML: special characters"),
        (b'name: x\nmodels: {"\\x9b31m": {}}\n', r"models: a text holds no control characters \(found '\\x9b31m'\)"),
        (b"", "a configuration is a mapping of keys"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_by_name_and_line(tmp_path: Path, text: bytes, message: str) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "bad.yaml").write_bytes(text)
    (folder / "other.yaml").write_text("base: ../conf/bad.yaml\nname: y\n")
    with pytest.raises(ConfigError, match=message) as refused:
        config.load(folder / "bad.yaml")
    assert len(str(refused.value).splitlines()) == 1


def test_what_is_no_regular_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "conf.yaml")
    with pytest.raises(ConfigError, match="no regular file"):
        config.load(tmp_path / "conf.yaml")
    with pytest.raises(ConfigError, match="no key can be read"):
        Pseudonyms.of(f"file:{tmp_path}/conf.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0100", "0100"),
        ("24:00", "24:00"),
        ("1:30.5", "1:30.5"),
        ("0b11", "0b11"),
        ("0", 0),
        ("-12", -12),
        ("1_024", 1024),
        ("0x40", 64),
        ("1e-3", 0.001),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("-0.", 0.0),
        ("-.inf", float("-inf")),
        ("2022-04-08", "2022-04-08"),
    ],
)
def test_a_number_is_what_everybody_means_by_it(text: str, value: object) -> None:
    assert config.parse(text, "here") == value
    assert type(config.parse(text, "here")) is type(value)


def test_a_mark_before_the_text_and_merged_keys_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = "base: base.yaml\nname: mine\ntrain: &t {epochs: 9}\nprune: &p {rounds: 1}\nnet: {ple: {levels: 2}}\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert config.load(path).train.epochs == 9
    chain = "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, y: 3}\n"
    assert config.parse(chain, "here")["c"] == {"x": 2, "y": 3}


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
    assert config.of_run({"run_id": "x", "conf": conf.public()}).tasks == conf.tasks


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


def test_keys_that_mean_nothing_any_more_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert config.load(DEMO, ["compare.resamples=50", "promote.resamples=50"]) == config.load(DEMO)
    assert "compare.resamples means nothing any more, it is left out" in caplog.text
    values = config.load(DEMO).public()
    values["compare"]["resamples"] = values["promote"]["resamples"] = 400
    assert config.of_run({"run_id": "old", "conf": values}) == config.load(DEMO)


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


SCALAR = "fields={user_id: {side: user, encode: vocabulary}, tag: {side: video, encode: list}, "


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [SCALAR + "x: {side: video, encode: vocabulary, table: nobody}}"],
            r"fields\.x\.table: nobody is not among fields; name one whose values it has$",
        ),
        (
            [SCALAR + "x: {side: video, encode: list, table: x}}"],
            r"fields\.x\.table: x has no table of its own; name the field that has, or leave it out$",
        ),
        (
            [SCALAR + "b: {side: user, encode: buckets}, x: {side: video, encode: list, table: b}}"],
            r"fields\.x\.table: b is encode: buckets, it has no vocabulary to share; leave it out$",
        ),
        (
            [SCALAR + "h: {side: user, encode: hash, size: 9}, x: {side: user, encode: hash, size: 8, table: h}}"],
            r"fields\.x\.table: h is not hashed to 8 ids too; give it the same size$",
        ),
        (
            [SCALAR + "x: {side: user, encode: number, size: 9}}"],
            r"fields\.x\.size is no key of the configuration",
        ),
        (
            ["history={h: {of: [nobody]}}"],
            r"history\.h\.of: nobody is not among fields; add it there, or leave it out$",
        ),
        (
            [SCALAR + "v: {side: user, encode: vocabulary}}", "history={h: {of: [tag]}}"],
            r"history\.h\.of: tag is encode: list, a history is of fields of one id a row$",
        ),
        (
            [SCALAR + "User_Id: {side: user, encode: vocabulary}}"],
            r"fields\.User_Id: differs from fields\.user_id in case alone, which Spark does not see; leave out one$",
        ),
        (
            [SCALAR + "Day: {side: context, encode: vocabulary}}"],
            r"fields\.Day: the sample tables have a column day already; leave it out$",
        ),
        (["history={h: {of: [video_id], until: previous day, lag_hours: 1}}"], r"history\.h: until and lag_hours both"),
        (
            ["statistics=[{by: [user_id, clicked]}]"],
            r"statistics by user_id,clicked: clicked says what happened after the impression; leave it out of by$",
        ),
        (
            ["statistics=[{by: [user_id], smoothing: 1}, {by: [user_id], of: [clicked], smoothing: 2}]"],
            r"statistics by user_id: its feature user_id_clicked_7d is called like one of statistics by",
        ),
        (["statistics=[{by: [user_id], of: [likes]}]"], r"statistics\.0\.of\.0: .*'clicked'"),
    ],
)
def test_features_that_cannot_be_are_one_line(overrides: list[str], message: str) -> None:
    crosses = ["net.crosses=[]"] if any(text.startswith("fields") for text in overrides) else []
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(DEMO, [*overrides, *crosses])
    assert len(str(caught.value).splitlines()) == 1


def test_a_decayed_statistic_has_a_name_of_its_own() -> None:
    conf = config.load(
        DEMO, ["statistics=[{by: [user_id], of: [clicked]}, {by: [user_id], of: [clicked], half_life: 1.5}]"]
    )
    assert list(conf.features)[-2:] == ["user_id_clicked_7d", "user_id_clicked_7d_half_life_1_5"]


def test_what_is_trained_each_day_may_be_one_of_several_models() -> None:
    conf = toy_conf("daily.model=connection_share", "train.models=[single_task, connection_share]")
    assert conf.daily.model == "connection_share"
    assert all(conf.of_model(name).train.models == [name] for name in conf.train.models)
