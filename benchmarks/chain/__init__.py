"""What each step from data to a device costs in time, and how that grows."""
