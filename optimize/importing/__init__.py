"""Somebody else's model as a package."""

from .importer import ImportOptions, import_model
from .wrap import Wrapping

__all__ = ["ImportOptions", "Wrapping", "import_model"]
