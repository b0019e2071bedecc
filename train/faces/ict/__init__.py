"""ICT-FaceKit heads, drawn with OpenGL."""
