"""horovodrun over two hosts: network namespaces with an interface each, between them a wire and a stand-in for ssh."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ncs.lake.layout import Lake
from ncs.training.run import Run
from tests.toy import toy_conf, write_toy_lake
from tests.training.test_lost_workers import EPOCHS, Training

HERE, THERE = "10.97.13.1", "10.97.13.2"
# Horovod calls: ssh -o OPTION... HOST [-o OPTION...] COMMAND
SSH = """#!/bin/bash
while [ "$1" = -o ]; do shift 2; done
[ "$1" = {there} ] || {{ echo "no route to $1" >&2; exit 255; }}
shift
while [ "$1" = -o ]; do shift 2; done
exec ip netns exec {space} bash -c "$*"
"""


@pytest.fixture
def second_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A network namespace that is reached through `ncs0` from here, and `ssh` into it; its name."""
    space = f"ncs-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", space], capture_output=True).returncode:
        pytest.skip("only root can make network namespaces")
    inside = ["ip", "-n", space]
    try:
        for command in (
            ["ip", "link", "add", "ncs0", "type", "veth", "peer", "name", "ncs0", "netns", space],
            ["ip", "addr", "add", f"{HERE}/24", "dev", "ncs0"],
            ["ip", "link", "set", "ncs0", "up"],
            [*inside, "addr", "add", f"{THERE}/24", "dev", "ncs0"],
            [*inside, "link", "set", "ncs0", "up"],
            [*inside, "link", "set", "lo", "up"],
        ):
            subprocess.run(command, check=True)
        ssh = tmp_path / "bin" / "ssh"
        ssh.parent.mkdir()
        ssh.write_text(SSH.format(there=THERE, space=space))
        ssh.chmod(0o755)
        monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
        yield space
    finally:
        subprocess.run(["ip", "link", "del", "ncs0"], check=False)
        subprocess.run(["ip", "netns", "del", space], check=True)


@pytest.mark.slow
@pytest.mark.fault(ends="goes on")
def test_two_hosts_train_together_and_one_goes_on_when_the_other_is_lost(lake: Lake, second_host: str) -> None:
    conf = toy_conf(
        *("workers=2", "train.system=layer_share", "logs.source=nowhere", "launch.stall_seconds=15"),
        *(f"train.epochs={EPOCHS}", f"train.patience={EPOCHS}"),
        *(f"launch.hosts={HERE}:1,{THERE}:1", "launch.network=ncs0"),
    )
    training = Training(write_toy_lake(lake, conf), conf)
    training.until_epoch(2)
    workers = training.workers()
    spaces = {os.readlink(f"/proc/{worker.pid}/ns/net") for worker in workers.values()}
    assert len(spaces) == 2, "each on a host of its own"
    workers[1].kill()
    code, said = training.end()
    assert code == 0, said
    assert "going on with 1 from the last epoch" in said
    assert Run.of(conf, lake).facts("layer_share")["workers"] == [1, 2]
