"""The mask search of Algorithm 1, and the masks that the tasks are given in the end."""
