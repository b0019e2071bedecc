"""The built-in head: a mesh of our own, drawn with numpy and OpenCV alone."""
