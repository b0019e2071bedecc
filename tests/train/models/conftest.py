"""The four families in sizes that are small enough for tests."""

import pytest

AUS = ("AU01", "AU04", "AU12")
EXPRESSIONS = ("neutral", "happiness", "anger")
SMALL = {
    "cednn": {"size_px": 32, "stem_width": 16, "widths": (16, 32), "depths": (1, 2), "block_maps": ((0, 1), (2,))},
    "fan-trans": {"size_px": 32, "fan_width": 16, "fan_depth": 2, "width": 16, "heads": 2, "addon_blocks": 1},
    "sma-net": {"size_px": 32, "widths": (16, 32), "depths": (1, 1), "relation_width": 8},
    "eau": {"size_px": 32, "widths": (16, 32), "depths": (1, 1), "branch_width": 16, "gate_width": 8},
}  # fmt: skip


@pytest.fixture(params=list(SMALL))
def small(request):
    """Family and configuration of a small model with both heads."""
    return request.param, {"aus": AUS, "expressions": EXPRESSIONS, **SMALL[request.param]}
