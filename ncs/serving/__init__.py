"""A task's subnetwork as a small model of its own: torch.export and ONNX programs for serving."""
