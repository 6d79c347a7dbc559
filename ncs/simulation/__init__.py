"""Simulated users, rankings and A/B tests."""
