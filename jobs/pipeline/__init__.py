"""The work of the stages, a module each, and what several of them need: imported when a stage runs, not before."""
