"""Ctrl-C while Spark works: a KeyboardInterrupt like any other, without Py4J's stack traces on the terminal."""

import logging
import signal
import threading

_OF_PY4J = "KeyboardInterrupt while sending command"


def restore_handler() -> None:
    """Take Ctrl-C back from PySpark, whose handler calls Java from inside of the call that was interrupted.

    That fails, as an error of whatever call it was, and prints the stack trace of each of them. What is under way in
    Java ends with this process, or is cancelled by whoever catches the interrupt.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.getLogger().addFilter(_is_not_py4js)


def is_interrupt(err: BaseException | None) -> bool:
    """Whether an error is an interrupt or follows from one: PySpark, while it starts, raises its own instead."""
    while err is not None:
        if isinstance(err, KeyboardInterrupt):
            return True
        err = err.__cause__ or err.__context__
    return False


def _is_not_py4js(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_OF_PY4J)
