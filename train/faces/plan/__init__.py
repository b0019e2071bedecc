"""What is drawn: which action units, of whom, in which order."""
