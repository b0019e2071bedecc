"""Somebody else's model as a package."""
