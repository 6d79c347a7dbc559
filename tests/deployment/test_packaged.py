"""The configurations that come with the package are found wherever it is run."""

from pathlib import Path

import pytest

from ncs import config
from ncs.errors import ConfigError


def test_a_name_or_a_base_may_be_the_packages_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load("demo.yaml").name == "demo"
    Path("mine.yaml").write_text("base: base.yaml\nname: mine\n")
    assert config.load("mine.yaml").name == "mine"
    Path("demo.yaml").write_text("base: mine.yaml\nname: local\n")
    assert config.load("demo.yaml").name == "local", "a file that is there goes before"
    for path in ("conf/demo.yaml", "nobodys.yaml"):
        with pytest.raises(ConfigError, match=f"no configuration can be read at {path}"):
            config.load(path)
