"""Finishing passes: one INT8 file per target, each pass checked by running it."""
