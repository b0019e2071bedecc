"""The papers' efficiency claims as data, and networks of their day to test them against."""
