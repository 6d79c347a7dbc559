"""How configurations are read: files and their bases, overrides, the stored form."""

import os
from pathlib import Path

import pytest
import yaml

from ncs import config
from ncs.errors import ConfigError
from ncs.logs.pseudonyms import Pseudonyms
from tests.factories import DEMO, ROOT

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
