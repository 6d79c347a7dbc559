"""What the paper found."""

TABLE_2 = {
    "single_task": {"cvr": 0.13688, "ctr": 0.78572},
    "layer_share": {"cvr": 0.13563, "ctr": 0.78808},
    "connection_share": {"cvr": 0.13226, "ctr": 0.78874},
    "neuron_share": {"cvr": 0.13531, "ctr": 0.78346},
}
"""CVR MSE and CTR AUC by system, on its own logs (section 3.2)."""
