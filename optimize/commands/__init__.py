"""Commands of the optimizing layer."""
