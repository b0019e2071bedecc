"""Measures packages, compares them, and reports."""
