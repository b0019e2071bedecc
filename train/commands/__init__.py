"""Verbs of the training layer."""
