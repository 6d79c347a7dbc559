"""From a Delta table at a pinned version to batches of tensors, sharded over workers."""

from ncs.data_loading.loader import Batch, Loader, TableLoader
from ncs.data_loading.snapshot import Snapshot

__all__ = ["Batch", "Loader", "Snapshot", "TableLoader"]
