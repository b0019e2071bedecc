"""A comparison of peers in one run: the entries, the absent ones with reasons, and the tools' published costs."""

import numpy as np
import pytest

from edgeau.benchmarks.macs import model_facts
from edgeau.benchmarks.measurement import BenchOptions
from edgeau.benchmarks.peers.evaluate import evaluate
from edgeau.benchmarks.peers.page import lines, rows, to_json
from edgeau.benchmarks.peers.peer import Peer, PeerBackend
from edgeau.benchmarks.peers.runtimes import PEERS
from edgeau.benchmarks.peers.tool_networks import TOOLS

QUICK = BenchOptions(warmup_s=0, seconds=1e-9, rounds=2, memory=False, energy=False)


def _wrong(file, threads):
    return PeerBackend("wrong", file, {"threads": threads}, lambda inputs: np.full((1, 2), 2.0))


def _missing(file, threads):
    raise ModuleNotFoundError("No module named 'abacus'", name="abacus")


def _broken(file, threads):
    raise RuntimeError("first line\nsecond line")


def test_peers_that_are_wrong_missing_or_broken_are_left_out_with_a_reason(package):
    peers = [PEERS["onnxruntime"], Peer("w", "Wrong", _wrong, ""), Peer("m", "Missing", _missing, "pip install abacus"),
             Peer("b", "Broken", _broken, "")]  # fmt: skip
    comparison = evaluate(package, peers, QUICK, 1, tools=())
    assert {entry.title for entry in comparison.entries} == {
        "edgeau, fp32 on onnxruntime", "edgeau, fp32 on openvino", "ONNX Runtime, its defaults"}  # fmt: skip
    reasons = {each.title: each.reason for each in comparison.absent}
    assert "computes something else" in reasons["Wrong"]
    assert reasons["Missing"] == "abacus is not installed; type: pip install abacus"
    assert reasons["Broken"] == "first line"
    value = to_json(comparison, "small", QUICK)
    assert [row["what"] for row in rows(value)] == [entry.title for entry in comparison.entries]
    assert any(line.startswith("not here: Missing") for line in lines(value))


def test_all_are_compared_with_edgeaus_best(package):
    entries = evaluate(package, [PEERS["onnxruntime"]], QUICK, 1, tools=()).entries
    best = min((each for each in entries if each.kind == "edgeau"), key=lambda each: each.latency.p50_ms)
    assert best.versus.value == 1


# EfficientNet-B0: 5,288,548 parameters minus the classifier's 1,281,000 (torchvision's documentation) and 0.39 billion
# multiply-adds (arXiv 1905.11946, table 2). ConvNeXt V2-T: 28.6 million minus 769,000, and 4.47 (arXiv 2301.00808).
@pytest.mark.parametrize(
    ("tool", "parameters", "gmacs"),
    [("libreface", 11.17e6, 1.8), ("openface3", 4.008e6, 0.39), ("pyfeat2", 27.83e6, 4.47)],
)
def test_the_cost_of_a_tools_trunk_agrees_with_published_figures(tool, parameters, gmacs, tmp_path):
    _, network = TOOLS[tool]
    network.save(tmp_path / "net.onnx", 1)
    facts = model_facts(tmp_path / "net.onnx")
    assert facts.parameters == pytest.approx(parameters, rel=0.01)
    assert facts.macs / 1e9 == pytest.approx(gmacs, rel=0.02)
