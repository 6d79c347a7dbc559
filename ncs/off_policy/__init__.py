"""What rankings would earn, estimated from logged impressions whose videos were shown at random."""
