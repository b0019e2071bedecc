"""Licensed data sets in their published layouts, one file each. None is included here; obtain them from their owners.

Each module's ``DATA_SET`` says what it is and reads a folder into recordings. Copies differ: errors name the file, and
what was looked for. The layouts are those that public loaders read; each module names them.
"""

from __future__ import annotations

from . import bp4d, bp4dplus, bu3dfe, ckplus, disfa, disfaplus, mmi
from .data_set import DataSet

DATA_SETS: dict[str, DataSet] = {
    module.DATA_SET.word: module.DATA_SET for module in (bp4d, bp4dplus, disfa, disfaplus, ckplus, mmi, bu3dfe)
}
