"""The papers' efficiency claims as data, and networks of their time to test them against."""
