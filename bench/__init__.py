"""Measurements of speed, side by side in one run (`make bench`); what they said is in docs/speed.md."""
