"""The torch-free runtime: reads model packages, finds faces, gives action units.

```python
from edgeau.runtime import load

analyzer = load()  # the package that ships with edgeau
for face in analyzer(frame_bgr):  # HWC uint8, as cv2 gives it
    print(face.track_id, face.box_xyxy, face.au["AU12"], face.present["AU12"])
```
"""

from .analyzer import Analyzer, Face
from .choose import Choice, load
from .errors import BackendError, EdgeauError, EngineError, InputError, MissingExtraError, PackageError
from .manifest import Manifest
from .package import Package
from .version import __version__

__all__ = [
    "Analyzer",
    "BackendError",
    "Choice",
    "EdgeauError",
    "EngineError",
    "Face",
    "InputError",
    "Manifest",
    "MissingExtraError",
    "Package",
    "PackageError",
    "__version__",
    "load",
]
