"""A task's subnetwork as a small model of its own: raw values to inputs, torch.export and ONNX programs."""

from ncs.serving.encoding import Encoder

__all__ = ["Encoder"]
