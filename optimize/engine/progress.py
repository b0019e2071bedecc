"""Progress of a build, and stopping it.

From TensorRT 10 on, the builder reports phases and steps and can be told to stop; before that, only the elapsed time is
known, and an interrupted build runs to its end in its thread while the caller goes on.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, Optional, TypeVar

from edgeau.runtime.report import Report

T = TypeVar("T")

TICK_S = 10.0
PATIENCE_S = 30.0


def make_monitor(trt: Any, report: Report, cancelled: threading.Event) -> Optional[Any]:
    """A progress monitor that reports each tenth of a top-level phase; None if this TensorRT has no monitors."""
    base: Any = getattr(trt, "IProgressMonitor", None)
    if base is None:
        return None

    class Monitor(base):
        def __init__(self) -> None:
            base.__init__(self)
            self._steps: Dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            if parent_phase is None:
                self._steps[phase_name] = num_steps
                report(f"{phase_name}: {num_steps} steps")

        def step_complete(self, phase_name: str, step: int) -> bool:
            total = self._steps.get(phase_name)
            if total and 10 * (step + 1) // total > 10 * step // total:
                report(f"{phase_name}: {100 * (step + 1) // total} %")
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()


def run_interruptibly(work: Callable[[], T], report: Report, cancelled: threading.Event, *, ticks: bool) -> T:
    """Run ``work`` in a thread, so that Ctrl-C is answered while TensorRT computes.

    An exception must not travel through TensorRT's C++ frames, so the interruption is passed on as ``cancelled``, and
    raised here once the builder has stopped. It must have: a thread that is inside TensorRT when Python ends takes the
    process down.

    Args:
        work: what to run; its exception is raised here.
        report: gets the elapsed time every TICK_S if ``ticks`` is set.
        cancelled: set on KeyboardInterrupt; the builder's monitor watches it.
        ticks: whether to report elapsed time, for builders without a monitor.
    """
    results: Dict[str, Any] = {}
    finished = threading.Event()

    def target() -> None:
        try:
            results["value"] = work()
        except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread
            results["error"] = error
        finally:
            finished.set()

    thread = threading.Thread(target=target, name="edgeau-build", daemon=True)
    started = time.monotonic()
    try:
        # The interruption may come before start() returns.
        thread.start()
        next_tick = TICK_S
        while not finished.wait(0.1):
            elapsed = time.monotonic() - started
            if ticks and elapsed >= next_tick:
                report(f"building: {elapsed:.0f} s passed")
                next_tick += TICK_S
    except KeyboardInterrupt:
        cancelled.set()
        report("interrupted: waiting for TensorRT to stop")
        if thread.ident is not None and not ticks:
            finished.wait(PATIENCE_S)
        raise
    if "error" in results:
        raise results["error"]
    return results["value"]
