"""Plans what to draw: which action units, on which subject, in which order."""
