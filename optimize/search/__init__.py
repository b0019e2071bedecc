"""What runs best on this device, found by measuring."""
