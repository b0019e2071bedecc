"""INT8: what is quantized, with which ranges, finished for which runtime, within which accuracy budget."""
