"""``python -m edgeau.runtime`` is ``edgeau``, for places without its script on the path."""

import sys

from .cli import main

sys.exit(main())
