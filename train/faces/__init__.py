"""Synthetic faces with known action units."""
