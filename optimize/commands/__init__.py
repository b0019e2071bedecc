"""Verbs of the optimizing layer."""
