"""What values a configuration accepts, and how it names what it does not."""

from pathlib import Path

import pytest

from ncs import config
from ncs.days import Days
from ncs.errors import ConfigError
from tests.factories import DEMO, ROOT, toy_conf

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
        ("logs.text_ids=[user_id]", r"logs: logs.text_ids goes with folders of days in logs.source alone"),
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


def test_what_names_no_schema_and_what_holds_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"views\.into: name a schema, or catalog\.schema, of letters, digits and _"):
        config.load(DEMO, ["views.into=a b"])
    with pytest.raises(ConfigError, match=r"track\.uri: credentials do not belong into a URI") as refused:
        config.load(DEMO, ["track.uri=http://me:secret@mlflow:5000"])
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"calibration: Input should be 'isotonic'"):
        config.load(DEMO, ["calibration=platt"])


def test_days_split_into_training_and_test() -> None:
    conf = config.load(DEMO)
    assert (str(conf.train_days), str(conf.test_days)) == ("2022-04-08..2022-04-15", "2022-04-16")
    assert len(Days.parse("2022-02-27..2022-03-02")) == 4
    assert [str(day) for day in Days.parse("2022-02-28..2022-03-01")] == ["2022-02-28", "2022-03-01"]


def test_what_is_trained_each_day_may_be_one_of_several_models() -> None:
    conf = toy_conf("daily.model=connection_share", "train.models=[single_task, connection_share]")
    assert conf.daily.model == "connection_share"
    assert all(conf.for_model(name).train.models == [name] for name in conf.train.models)


TEXT_IDS = ["logs.source=/logs", "logs.text_ids=[user_id]"]
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
            [SCALAR + "x: {side: user, encode: list, table: user_id}}", *TEXT_IDS],
            r"fields\.x\.table: of x and user_id one alone is in logs\.text_ids; name both there, or none$",
        ),
        (
            [
                SCALAR + "x: {side: user, encode: list, table: user_id, separator: ','}}",
                "logs.source=/logs",
                "logs.text_ids=[user_id, x]",
            ],
            r"fields\.x\.separator: logs\.text_ids has x, whose ids stand in arrays; write it so$",
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
