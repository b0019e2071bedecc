"""Somebody else's model as a package."""

from .importer import ImportOptions, import_model

__all__ = ["ImportOptions", "import_model"]
