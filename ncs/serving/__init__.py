"""A task's subnetwork as a small model of its own: raw values to inputs, torch.export and ONNX programs."""

from ncs.serving.encoding import Encoder, Inputs

__all__ = ["Encoder", "Inputs"]
