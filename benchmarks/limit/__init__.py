"""How fast a model could run on a device at most, and why it runs slower."""
