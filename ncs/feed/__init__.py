"""From a Delta table at a pinned version to batches of tensors, sharded over workers."""

from ncs.feed.feed import Batch, Feed, TableFeed
from ncs.feed.snapshot import Snapshot

__all__ = ["Batch", "Feed", "Snapshot", "TableFeed"]
