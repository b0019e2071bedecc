"""Fakes of libraries that need hardware. A constant that says how the real one behaves names its source."""
