"""INT8: which nodes are quantized, with which ranges, for which reader, within which accuracy budget."""
