"""Whether this process is a launched worker. It imports no torch: there may be nothing to train."""

import os


def launched() -> bool:
    """Whether a launcher started this process."""
    return "HOROVOD_RANK" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
