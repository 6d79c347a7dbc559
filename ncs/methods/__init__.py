"""The mask search of Algorithm 1, the masks that tasks are trained with, the conflict between tasks."""
