from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

from edgeau.optimize.scoring import read_evaluation
from edgeau.optimize.search.candidates import list_candidates
from edgeau.optimize.search.missing_variants import add_variants, missing_variants
from edgeau.optimize.search.options import SearchOptions
from edgeau.optimize.search.search import _record, search
from edgeau.runtime.backends import Backend, open_backend
from edgeau.runtime.choose import choose
from edgeau.runtime.cli import main
from edgeau.runtime.crop_set import spread
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.device import fingerprint, usable_cores
from edgeau.runtime.errors import BackendError, InputError
from edgeau.runtime.package import Package
from edgeau.runtime.selection import Selection


@pytest.fixture(scope="module")
def crops(quantized, evaluation):
    return read_crops(str(evaluation), quantized.manifest.crop)


@pytest.fixture(scope="module")
def found(quantized, crops, tmp_path_factory):
    package = quantized.copy_to(tmp_path_factory.mktemp("search") / "found.edgeau")
    return search(package, crops, SearchOptions(minutes=0.1, max_drop=0.2))


@pytest.mark.slow
def test_the_stored_selection_was_measured_and_is_not_slower_than_fp32(found):
    chosen = found.selection
    measured = {entry.label for entry in chosen.measured}
    assert chosen.label in measured
    assert chosen.times_fp32 <= 1.0
    assert chosen.objective == "latency"
    assert chosen.rounds >= 1
    assert Package.open(found.package.path).manifest.selection[fingerprint()] == chosen


def test_every_other_candidate_lost_or_tied_with_a_reason(found):
    chosen = found.selection
    others = {entry.label for entry in chosen.measured} - {chosen.label}
    reasons = {**chosen.losers, **chosen.ties}
    assert others <= set(reasons)
    assert all(reasons.values())


def test_load_uses_the_selection(found):
    choice = choose(Package.open(found.package.path))
    assert (choice.variant, choice.backend) == (found.selection.variant, found.selection.backend)
    assert "measured best" in choice.reason


def test_every_precision_backend_and_thread_count_is_a_candidate(quantized):
    candidates, _ = list_candidates(quantized, "latency")
    labels = {candidate.label for candidate in candidates}
    for variant, backend in (("fp32", "openvino"), ("fp32", "onnxruntime"), ("int8-ort", "onnxruntime")):
        assert f"{variant} on {backend}, 1 thread" in labels
    assert {c.threads for c in candidates} >= {1, usable_cores(), None}
    assert {c.batch for c in list_candidates(quantized, "throughput")[0]} == {1, 4, 16}


def test_every_int8_file_is_a_candidate_on_every_onnx_backend(quantized):
    readings = {candidate.reading for candidate in list_candidates(quantized, "latency")[0]}
    for variant in ("int8-ort", "int8-openvino", "int8-tensorrt"):
        assert {f"{variant} on onnxruntime", f"{variant} on openvino"} <= readings
    assert not any(c.backend == "tensorrt" for c in list_candidates(quantized, "latency")[0])


@pytest.mark.parametrize("native", [(), ("bf16",), ("bf16", "f16")])
def test_lower_precisions_are_candidates_if_the_cpu_supports_them(quantized, monkeypatch, native):
    monkeypatch.setattr(
        "edgeau.optimize.search.candidates.lower_precisions", lambda name: native if name == "openvino" else ()
    )
    readings = {candidate.reading for candidate in list_candidates(quantized, "latency")[0]}
    for precision in ("bf16", "f16"):
        for variant in ("fp32", "int8-openvino"):
            assert (f"{variant} on openvino in {precision}" in readings) == (precision in native)
    assert not any(" on onnxruntime in " in reading for reading in readings)


def test_choosing_a_file_for_another_backend_adds_that_backend_to_it(quantized, crops, tmp_path):
    package = quantized.copy_to(tmp_path / "other.edgeau")
    assert package.variant("int8-tensorrt").backends == ("tensorrt",)
    tuned = _record(package, Selection("int8-tensorrt", "openvino", 1)).package
    assert Package.open(tuned.path).variant("int8-tensorrt").backends == ("tensorrt", "openvino")
    assert choose(tuned, "int8-tensorrt", "openvino").reading == "int8-tensorrt on openvino"
    assert _record(tuned, Selection("fp32", "openvino", 1)).package.variant("fp32") == package.variant("fp32")


def test_a_variant_beyond_the_budget_loses(make_package, quantized, crops, tmp_path):
    package = quantized.copy_to(tmp_path / "strict.edgeau")
    result = search(package, crops, SearchOptions(minutes=0.03, max_drop=0.0))
    scores = result.selection.accuracy
    best = scores["fp32 on onnxruntime"]
    for name, score in scores.items():
        assert (name in result.selection.losers) == (score < best - 1e-12)


class _Clock:
    """A clock that only the test advances."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class _Slow(Backend):
    """A backend that takes a millisecond per crop by that clock."""

    def __init__(self, backend, clock):
        self._backend, self._clock = backend, clock
        self.output_names = backend.output_names

    def infer(self, inputs):
        self._clock.now += 1e-3 * len(inputs["face"])
        return self._backend.infer(inputs)

    def close(self):
        self._backend.close()


@pytest.fixture
def slow_clock(monkeypatch):
    """A function that makes a clock by which a model takes ``load_s`` to load and a crop a millisecond."""

    def make(load_s):
        clock = _Clock()

        def slowly(*args):
            clock.now += load_s
            return _Slow(open_backend(*args), clock)

        monkeypatch.setattr("edgeau.optimize.search.candidates.open_backend", slowly)
        return clock

    return make


def test_the_time_to_load_a_model_does_not_count_as_run_time(quantized, crops, tmp_path, slow_clock):
    package = quantized.copy_to(tmp_path / "slow.edgeau")
    options = SearchOptions(minutes=1.5, max_drop=0.2)
    chosen = search(package, crops, options, clock=slow_clock(load_s=1.0)).selection
    assert chosen.judged_on == len(crops)
    assert set(chosen.accuracy) >= {"fp32 on openvino", "int8-ort on onnxruntime"}


def test_the_fewest_threads_win_if_all_take_the_same_time(quantized, crops, tmp_path, slow_clock):
    package = quantized.copy_to(tmp_path / "same.edgeau")
    chosen = search(package, crops, SearchOptions(max_drop=0.2), clock=slow_clock(load_s=0.0)).selection
    assert chosen.settled
    assert chosen.threads == 1
    assert chosen.ms_per_crop == pytest.approx(1.0)
    assert chosen.times_fp32 == pytest.approx(1.0)


def test_a_reduced_evaluation_has_a_positive_of_each_au_and_is_reported(quantized, crops, tmp_path, slow_clock):
    intensity = np.zeros_like(crops.intensity)
    intensity[[1, 2, 4, 7], range(4)] = 5.0
    rare = dataclasses.replace(crops, intensity=intensity)
    assert not np.isin([1, 2, 4, 7], spread(len(crops), 16)).all()
    lines = []
    package = quantized.copy_to(tmp_path / "rare.edgeau")
    result = search(package, rare, SearchOptions(minutes=0.01), lines.append, clock=slow_clock(load_s=1.0))
    assert 16 < result.selection.judged_on <= 20
    assert any(f"judging on {result.selection.judged_on} of 40 crops" in line for line in lines)


def test_fp32_is_measured_regardless_of_backend_order_and_time(quantized, crops, tmp_path, slow_clock):
    variants = tuple(dataclasses.replace(v, backends=v.backends[::-1]) for v in quantized.manifest.variants)
    package = quantized.copy_to(tmp_path / "reversed.edgeau")
    package = package.with_manifest(dataclasses.replace(package.manifest, variants=variants))
    chosen = search(package, crops, SearchOptions(minutes=0.01), clock=slow_clock(load_s=1.0)).selection
    assert "fp32 on onnxruntime" in chosen.accuracy
    assert {entry.label for entry in chosen.measured} == {"fp32 on onnxruntime, 1 thread"}
    assert "more --minutes" in chosen.losers["fp32 on openvino"]


@pytest.mark.parametrize("opened", [0, 1], ids=["to judge", "to measure"])
def test_fp32_that_cannot_be_opened_raises(quantized, crops, tmp_path, monkeypatch, opened):
    times = []

    def sometimes(name, file, options):
        if (name, file.name, options.threads) == ("onnxruntime", "fp32.onnx", 1):
            times.append(name)
            if len(times) > opened:
                raise BackendError("ONNX Runtime can't load fp32.onnx")
        return open_backend(name, file, options)

    monkeypatch.setattr("edgeau.optimize.search.candidates.open_backend", sometimes)
    package = quantized.copy_to(tmp_path / "closed.edgeau")
    with pytest.raises(BackendError, match=r"can't load fp32\.onnx"):
        search(package, crops, SearchOptions(minutes=0.02, max_drop=0.2))
    assert package.manifest.selection == {}


@pytest.mark.slow
def test_objective_size_selects_the_smallest_variant_that_is_not_slower(quantized, crops, tmp_path):
    package = quantized.copy_to(tmp_path / "small.edgeau")
    chosen = search(package, crops, SearchOptions(objective="size", minutes=0.05, max_drop=0.5)).selection
    assert chosen.times_fp32 <= 1.0
    sizes = {v.name: v.size_bytes for v in package.manifest.variants}
    start = np.array([e.ms_per_crop for e in chosen.measured if e.label == chosen.label])
    assert start.size == 1
    assert sizes[chosen.variant] == min(sizes[e.variant] for e in chosen.measured if e.label not in chosen.losers)


@pytest.mark.slow
def test_selections_of_other_devices_are_kept(quantized, crops, tmp_path):
    package = quantized.copy_to(tmp_path / "two.edgeau")
    package = package.with_manifest(
        dataclasses.replace(package.manifest, selection={"elsewhere": Selection("fp32", "openvino")})
    )
    result = search(package, crops, SearchOptions(minutes=0.02, max_drop=0.2))
    assert set(result.package.manifest.selection) == {"elsewhere", fingerprint()}


def test_energy_needs_a_counter(quantized, crops, tmp_path, monkeypatch):
    monkeypatch.setattr("edgeau.optimize.search.options.find_meter", _no_meter)
    package = quantized.copy_to(tmp_path / "energy.edgeau")
    with pytest.raises(InputError, match="energy"):
        search(package, crops, SearchOptions(objective="energy"))


def _no_meter():
    from pathlib import Path

    from edgeau.optimize.search.energy import find_meter

    return find_meter(Path("/nowhere"))


@pytest.mark.slow
def test_missing_variants_are_made_and_existing_ones_kept(package, calibration, evaluation):
    lacking = missing_variants(package, str(calibration), str(evaluation), 24, 40, 0)
    extended, left_out = add_variants(package, lacking, time.monotonic() + 300, lambda _: None)
    assert {v.name for v in extended.manifest.variants} == {
        "fp32",
        "fp16",
        "int8-ort",
        "int8-openvino",
        "int8-tensorrt",
    }
    assert left_out == {}
    assert extended.variant("int8-ort").notes["calibration"]["samples"] == 24
    again = missing_variants(extended, str(calibration), str(evaluation), 24, 40, 0)
    assert (again.flavours, again.half) == ((), False)


@pytest.mark.slow
def test_optimize_writes_the_output_package_and_prints_the_choice(quantized, evaluation, tmp_path, capsys):
    out = tmp_path / "tuned.edgeau"
    arguments = ["optimize", str(quantized.path), "--eval", str(evaluation), "--max-drop", "0.2", "--minutes", "0.05"]
    assert main([*arguments, "-o", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["device"] == fingerprint()
    assert printed["label"] == Package.open(out).manifest.selection[fingerprint()].label
    assert quantized.manifest.selection == {}


def test_variants_without_time_are_left_out_with_a_reason(package, calibration, evaluation, tmp_path, capsys):
    out = tmp_path / "tuned.edgeau"
    arguments = ["optimize", str(package.path), "--calib", str(calibration), "--eval", str(evaluation)]
    assert main([*arguments, "--minutes", "0.0001", "-o", str(out), "--json"]) == 0
    losers = json.loads(capsys.readouterr().out)["losers"]
    assert "not made in the time given" in losers["int8-ort"]
    assert {v.name for v in Package.open(out).manifest.variants} == {"fp32"}


def test_a_failure_to_make_variants_is_one_line_and_changes_nothing(package, tmp_path, evaluation, capsys):
    data = tmp_path / "one-colour.npz"
    np.savez(data, faces=np.full((4, 48, 48, 3), 7, np.uint8))
    arguments = ["optimize", str(package.path), "--calib", str(data), "--eval", str(evaluation)]
    out = tmp_path / "out" / "tuned.edgeau"
    for more in ([], ["-o", str(out)]):
        assert main([*arguments, "--minutes", "1", *more]) == 2
        assert "crops of one colour" in capsys.readouterr().err.splitlines()[-1]
    assert not any(tmp_path.glob("out/*"))
    assert {v.name for v in Package.open(package.path).manifest.variants} == {"fp32"}


@pytest.mark.parametrize(
    "more", [["--minutes", "0"], ["--max-drop", "2"], ["--eval", "nowhere"]], ids=["no time", "drop", "no data"]
)
def test_invalid_options_are_refused(quantized, evaluation, tmp_path, capsys, more):
    package = quantized.copy_to(tmp_path / "kept.edgeau")
    assert main(["optimize", str(package.path), "--eval", str(evaluation), *more]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert Package.open(package.path).manifest.selection == {}
    assert main(["optimize", str(package.path), "--eval", str(evaluation), *more, "-o", str(tmp_path / "out")]) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.edgeau"]


def test_the_error_for_a_damaged_package_names_its_own_folder(package, evaluation, tmp_path, capsys):
    (package.path / "fp32.onnx").write_bytes(b"damaged")
    arguments = ["optimize", str(package.path), "--eval", str(evaluation), "-o", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert str(package.path / "fp32.onnx") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_variants_are_made_with_the_evaluation_samples_of_the_search(package, make_data, tmp_path, monkeypatch):
    np.savez(tmp_path / "many.npz", **make_data(250, seed=5))
    seen = {}

    def read(spec, manifest, *, samples, seed):
        seen["judged"] = samples
        return read_evaluation(spec, manifest, samples=samples, seed=seed)

    def note_and_make_none(package, lacking, deadline, progress):
        seen["made"] = lacking.eval_samples
        return package, {}

    monkeypatch.setattr("edgeau.optimize.search.tune.read_evaluation", read)
    monkeypatch.setattr("edgeau.optimize.search.tune.add_variants", note_and_make_none)
    data = str(tmp_path / "many.npz")
    assert main(["optimize", str(package.path), "--calib", data, "--eval", data, "--minutes", "0.01"]) == 0
    assert seen["judged"] == seen["made"]


def test_optimize_without_evaluation_data_is_refused(quantized, capsys):
    assert main(["optimize", str(quantized.path)]) == 2
    assert "--eval" in capsys.readouterr().err
