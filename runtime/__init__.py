"""The torch-free runtime: reads model packages, finds faces, gives action units.

```python
from edgeau.runtime import load

analyzer = load()  # the package that ships with edgeau
for face in analyzer(frame_bgr):  # HWC uint8, as cv2 gives it
    print(face.track_id, face.box_xyxy, face.au["AU12"], face.present["AU12"])
```
"""

from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from .analyzer import Analyzer
    from .choose import Choice, load
    from .crop import crop_face
    from .errors import BackendError, EdgeauError, EngineError, InputError, MissingExtraError, PackageError
    from .face import Face
    from .manifest import CropSpec, Manifest
    from .package import Package
    from .pose import HeadPose
    from .results import Faces, StageTimes
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

# Where each name is. They are imported when they are asked for: the command line answers Ctrl-C before numpy is loaded.
_MODULES = {
    "analyzer": ("Analyzer",),
    "choose": ("Choice", "load"),
    "crop": ("crop_face",),
    "errors": ("BackendError", "EdgeauError", "EngineError", "InputError", "MissingExtraError", "PackageError"),
    "face": ("Face",),
    "manifest": ("CropSpec", "Manifest"),
    "package": ("Package",),
    "pose": ("HeadPose",),
    "results": ("Faces", "StageTimes"),
    "version": ("__version__",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
