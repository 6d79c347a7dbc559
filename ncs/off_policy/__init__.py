"""Off-policy estimates of rankings, from logged impressions whose videos were shown at random."""
