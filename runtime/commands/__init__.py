"""Verbs of the runtime."""
