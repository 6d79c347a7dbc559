"""The project's exceptions, each with the exit code that the command line ends with; any exception in one line."""

import re


class NcsError(Exception):
    """Something a user can fix; its message names the thing, what was found, and the remedy."""

    exit_code = 1


class ConfigError(NcsError):
    """A configuration or a command line that cannot be used."""

    exit_code = 2


class DataError(NcsError):
    """Logs or tables that are missing, broken, or not what the next stage can read."""


class GateError(NcsError):
    """A validation suite found the data unfit; nothing after it may run."""

    exit_code = 3


class BlockedDaysError(GateError):
    """Days that cannot go on; the message names each of them with its reason."""


class ExportError(NcsError):
    """A model that cannot be served, or not as it was trained."""


class TrainingError(NcsError):
    """A training that cannot start or go on."""


def first_line(err: BaseException) -> str:
    """The first line of an error's message."""
    return str(err).strip().partition("\n")[0]


def root_cause(err: BaseException) -> str:
    """The last cause that an error of Java's names, else the first line of the message.

    py4j's own first line says no more than which call has failed; Java's error stands in the second, behind a colon.
    """
    causes: list[str] = re.findall(r"^(?:Caused by)?: (.+)", str(err), re.MULTILINE)
    return causes[-1] if causes else first_line(err)
