"""The torch-free runtime: reads model packages, finds faces, gives action units.

```python
from edgeau.runtime import load

analyzer = load()  # the package that ships with edgeau
for face in analyzer(frame_bgr):  # HWC uint8, as cv2 gives it
    print(face.track_id, face.box_xyxy, face.au["AU12"], face.present["AU12"])
```
"""

from .analyzer import Analyzer
from .choose import Choice, load
from .crop import crop_face
from .errors import BackendError, EdgeauError, EngineError, InputError, MissingExtraError, PackageError
from .manifest import CropSpec, Manifest
from .package import Package
from .pose import HeadPose
from .results import Face, Faces, StageTimes
from .version import __version__

__all__ = [
    "Analyzer",
    "BackendError",
    "Choice",
    "CropSpec",
    "EdgeauError",
    "EngineError",
    "Face",
    "Faces",
    "HeadPose",
    "InputError",
    "Manifest",
    "MissingExtraError",
    "Package",
    "PackageError",
    "StageTimes",
    "__version__",
    "crop_face",
    "load",
]
