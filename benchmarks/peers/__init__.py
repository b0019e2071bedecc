"""Other runtimes and other AU tools on the same work, measured in the same rounds as a package."""
