"""Whether this process is one of several that train; asked before torch is imported, for there may be nothing to do."""

import os


def launched() -> bool:
    """Whether a launcher started this process."""
    return "HOROVOD_RANK" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
