"""Finding what runs best on this device, by measuring."""
