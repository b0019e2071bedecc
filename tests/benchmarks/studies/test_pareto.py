"""The Pareto front of models: which are dominated, and the files written."""

import json
import shutil

from hypothesis import given
from hypothesis import strategies as st

from edgeau.benchmarks.records import read_records
from edgeau.benchmarks.studies.pareto import dominates, main, with_front

LEVELS = st.integers(0, 4)


def model(number, f1, size, time):
    entry = {"package": f"m{number}.edgeau", "variant": "fp32", "backend": "onnxruntime"}
    return {**entry, "f1": f1, "size_bytes": size, "p50_ms": time}


def test_a_model_without_any_advantage_is_dominated_and_a_trade_off_is_not():
    best, worse, smaller = model(0, 0.8, 100, 2.0), model(1, 0.7, 100, 2.5), model(2, 0.6, 50, 2.0)
    models = with_front([best, worse, smaller, model(3, None, 1, 0.1)])
    assert [entry["dominated_by"] for entry in models] == [[], ["m0 fp32 · onnxruntime"], []]


@given(st.lists(st.tuples(LEVELS, LEVELS, LEVELS), min_size=1, max_size=8))
def test_the_front_is_never_empty_and_covers_the_rest(rows):
    models = with_front([model(number, *row) for number, row in enumerate(rows)])
    front = [entry for entry in models if not entry["dominated_by"]]
    assert front
    assert not any(dominates(one, other) for one in front for other in front)
    assert all(any(dominates(one, entry) for one in front) for entry in models if entry["dominated_by"])


def test_json_table_and_plot_are_written(package, labelled, tmp_path, capsys):
    copy = tmp_path / "copy.edgeau"
    shutil.copytree(package.path, copy)
    crops = labelled.with_name("both.npz")
    _with_every_au(labelled, crops)
    out = tmp_path / "front"
    words = [str(package.path), str(copy), "--eval", str(crops), "--backends", "onnxruntime", "--seconds", "0.05"]
    assert main([*words, "-o", str(out)]) == 0
    value = json.loads(out.with_suffix(".json").read_text())
    assert len(read_records(out.with_suffix(".records.json.gz"))["records"]) == 2
    assert [entry["package"] for entry in value["models"]] == ["small.edgeau", "copy.edgeau"]
    assert value["models"][0]["f1"] == value["models"][1]["f1"]
    assert "on the front" in out.with_suffix(".md").read_text()
    assert capsys.readouterr().out.startswith("# Accuracy")
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_package_is_refused(tmp_path, labelled, capsys):
    assert main([str(tmp_path / "none.edgeau"), "--eval", str(labelled), "-o", str(tmp_path / "x")]) == 2
    assert "none.edgeau" in capsys.readouterr().err


def _with_every_au(source, target):
    import numpy as np

    kept = dict(np.load(source))
    kept["au"][1::2, 0] = 3
    np.savez(target, **kept)
