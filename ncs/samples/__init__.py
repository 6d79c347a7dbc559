"""From bronze logs to labelled samples, and from these to ids: pure functions of DataFrames."""
