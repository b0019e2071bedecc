"""Progress, interruption and the timing cache, without a GPU."""

import threading
import time

import pytest

from edgeau.optimize.engine import progress
from edgeau.optimize.engine.builder import BuildOptions, build_engine
from edgeau.optimize.engine.progress import make_monitor, run_interruptibly
from edgeau.runtime.report import silent


def test_without_a_monitor_the_elapsed_time_is_reported(monkeypatch):
    monkeypatch.setattr(progress, "TICK_S", 0.05)
    messages = []
    assert run_interruptibly(lambda: time.sleep(0.5) or 7, messages.append, threading.Event(), ticks=True) == 7
    assert messages
    assert all(line.startswith("building: ") for line in messages)


def test_an_error_in_the_worker_thread_is_raised_by_the_caller():
    def fail():
        raise ValueError("from the thread")

    with pytest.raises(ValueError, match="from the thread"):
        run_interruptibly(fail, silent, threading.Event(), ticks=False)


@pytest.mark.parametrize("version", ["8.5", "8.6"])
def test_old_versions_have_no_monitor(fake_tensorrt, version):
    assert make_monitor(fake_tensorrt(version), silent, threading.Event()) is None


@pytest.mark.parametrize("version", ["10.3", "10.16", "11.1"])
def test_a_monitor_reports_tenths_of_the_outer_phase_and_can_be_cancelled(fake_tensorrt, version):
    messages, cancelled = [], threading.Event()
    monitor = make_monitor(fake_tensorrt(version), messages.append, cancelled)
    monitor.phase_start("Building", None, 200)
    monitor.phase_start("Tactics", "Building", 5000)
    assert all(monitor.step_complete("Building", step) for step in range(200))
    assert all(monitor.step_complete("Tactics", step) for step in range(5000))
    assert messages == ["Building: 200 steps", *[f"Building: {10 * tenth} %" for tenth in range(1, 11)]]
    monitor.phase_finish("Tactics")
    monitor.phase_finish("Building")
    cancelled.set()
    assert monitor.step_complete("Building", 0) is False


def test_a_timing_cache_of_another_device_is_replaced_with_a_note(fake_tensorrt, tmp_path):
    onnx, cache = tmp_path / "model.onnx", tmp_path / "x.timing"
    onnx.write_bytes(b"read by the fake parser only")
    cache.write_bytes(b"of another device")
    built = build_engine(onnx, BuildOptions(timing_cache=cache), trt=fake_tensorrt("8.6", cache_fits=False))
    assert "does not fit this device" in built.settings["timing_cache_note"]
    assert cache.read_bytes() == b"timings"
