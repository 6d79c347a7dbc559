"""The systems that are compared: one module each, named as `train.system` names it."""
