"""Notebooks over a lake: how one starts, on Databricks and elsewhere, and how one becomes a page."""

from ncs.notebook.start import Notebook, start

__all__ = ["Notebook", "start"]
