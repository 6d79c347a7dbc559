"""The models of the catalogue, a module each, named as `train.models` names it."""
