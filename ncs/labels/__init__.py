"""The label join: impressions, clicks and plays become labelled samples, and every raw row is accounted for."""
