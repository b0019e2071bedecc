"""How `edgeau optimize` reports its choice: with the ratio of the two times beside it."""

from edgeau.optimize.commands.optimize import times_fp32_text
from edgeau.runtime.selection import Selection


def test_the_ratio_is_computed_from_the_times_shown():
    chosen = Selection("int8", "openvino", ms_per_crop=0.135, fp32_ms_per_crop=0.255, times_fp32=0.53)
    assert times_fp32_text(chosen) == "0.135 ms, 0.53 times the 0.255 ms of FP32"


def test_a_different_ratio_in_the_median_round_is_reported():
    chosen = Selection("int8", "openvino", ms_per_crop=0.135, fp32_ms_per_crop=0.255, times_fp32=0.76)
    assert times_fp32_text(chosen).endswith("(0.76 in the median round: the machine was disturbed)")
