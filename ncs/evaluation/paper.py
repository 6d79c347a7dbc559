"""What the paper found."""

TABLE_2 = {
    "single_task": {"cvr": 0.13688, "ctr": 0.78572},
    "layer_share": {"cvr": 0.13563, "ctr": 0.78808},
    "connection_share": {"cvr": 0.13226, "ctr": 0.78874},
    "neuron_share": {"cvr": 0.13531, "ctr": 0.78346},
}
"""CVR MSE and CTR AUC by model, on its own logs (section 3.2)."""

TABLE_3 = {
    ("single_task", "single_task"): {"view_seconds": 491.3, "cvr": 0.549, "ctr": 0.247},
    ("single_task", "layer_share"): {"view_seconds": 481.6, "cvr": 0.550, "ctr": 0.248},
    ("single_task", "connection_share"): {"view_seconds": 498.6, "cvr": 0.551, "ctr": 0.247},
    ("connection_share", "connection_share"): {"view_seconds": 497.1, "cvr": 0.553, "ctr": 0.248},
}
"""View seconds, CVR and CTR by the models of pCTR and pCVR, on its own platform (section 3.2)."""
