"""Fakes of libraries that need hardware. Constants that describe the real library's behaviour name their source."""
