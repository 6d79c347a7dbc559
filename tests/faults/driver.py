"""A process of its own that runs one stage, to be stopped, looked at and killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.factories import ROOT


class Driver:
    """The command line in a process group of its own: the driver, its JVM and its Python workers."""

    def __init__(self, command: list[str], log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobs.cli", *command], cwd=ROOT, stderr=file, stdout=file, start_new_session=True
            )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait(timeout=300)

    def stop(self) -> bool:
        """SIGSTOP for all of it: what it leaves on disk is what SIGKILL would leave. False if it has ended before."""
        return self._signal(signal.SIGSTOP) and not self._settle()

    def go_on(self) -> None:
        """After `stop`."""
        self._signal(signal.SIGCONT)

    def kill(self, jvm: bool = True) -> None:
        """SIGKILL for all of it, or for the driver alone: its JVM finds out by itself. Returns when all are gone."""
        if not self.ended:
            self._signal(signal.SIGKILL) if jvm else self._process.kill()
        self._process.wait()
        while self._signal(0):
            time.sleep(0.05)

    def _settle(self) -> None:
        """Give the kernel the time to stop every thread."""
        time.sleep(0.03)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True
