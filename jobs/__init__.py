"""The stages: `jobs/<stage>.py` declares one, `jobs/pipeline` does the work, `jobs/cli.py` is the command line."""
