"""The built-in head: our own mesh, drawn with only numpy and OpenCV."""
