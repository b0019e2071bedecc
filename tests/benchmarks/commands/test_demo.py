"""What the demo says of the choice that `edgeau optimize` made."""

import dataclasses

from edgeau.benchmarks.commands.demo import explain_choice
from edgeau.runtime.selection import Selection

CHOICE = Selection(
    variant="fp32",
    backend="onnxruntime",
    threads=1,
    batch=1,
    label="fp32 on onnxruntime, 1 thread",
    objective="latency",
    settled=True,
    rounds=20,
    ms_per_crop=0.63,
    fp32_ms_per_crop=0.63,
)


def test_a_choice_without_ties_names_none():
    text = explain_choice(CHOICE)
    assert "tie" not in text
    assert "frame" not in text


def test_many_ties_are_counted_and_whole_frames_are_reported():
    ties = {f"candidate {number}": "not slower" for number in range(16)}
    text = explain_choice(dataclasses.replace(CHOICE, ties=ties, ms_per_frame=1.61, fp32_ms_per_frame=1.7))
    assert text.endswith("It is a tie with candidate 0, candidate 1, candidate 2 and 13 others.")
    assert "A whole frame took 1.61 ms, with FP32 1.70 ms." in text
