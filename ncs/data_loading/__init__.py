"""From a Delta table at a pinned version to batches of tensors, sharded over workers."""

from ncs.data_loading.batch import Batch, Features
from ncs.data_loading.loader import Loader, TableLoader
from ncs.data_loading.snapshot import Snapshot

__all__ = ["Batch", "Features", "Loader", "Snapshot", "TableLoader"]
