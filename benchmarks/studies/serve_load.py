"""What `edgeau serve` answers under load: pictures per second and latency at several numbers of clients.

python -m edgeau.benchmarks.studies.serve_load [PICTURE ...] [--clients 1,8,64] [--seconds 8] [--json] [-- OPTIONS]

Starts the server with the options after ``--``, then loads it with clients that each send the next picture as soon as
the last is answered; a client that gets 503 waits as long as Retry-After says. The limit, in the same run, is what one
process for each CPU core reaches without HTTP, by decoding the same pictures and analysing them on one thread. Where
none is named, the picture is NASA's portrait from scikit-image, as a JPEG of 512 x 512 pixels.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeau.runtime import arguments, load

WARM_UP_S = 1.5
_start: threading.Barrier  # in the processes of `limit_per_s`
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Load:
    """One number of clients.

    Attributes:
        clients: that send pictures at the same time.
        pictures_per_s: answered with 200.
        of_limit: share of what the machine does without HTTP.
        p50_ms, p90_ms, p99_ms: from sending a picture to having its whole answer.
        refused: answers with 503.
        failed: other answers, and connections that broke.
        peak_mb: the server's largest resident memory so far.
        threads: the server's, at the end.
    """

    clients: int
    pictures_per_s: float
    of_limit: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    refused: int
    failed: int
    peak_mb: float
    threads: int


@contextlib.contextmanager
def server(options: list[str]) -> Iterator[tuple[int, int]]:
    """Start `edgeau serve` on a free port, and yield the port and the process id."""
    command = [sys.executable, "-m", "edgeau.runtime", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        matches = (_LISTENING.search(line) for line in iter(process.stderr.readline, ""))
        port = next((int(match[1]) for match in matches if match), None)
        if port is None:
            raise SystemExit(f"{' '.join(command)}: exit code {process.wait()}")
        try:
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


class Clients:
    """Clients that send pictures until they are told to stop.

    Args:
        port: of the server.
        pictures: the bytes of each.
    """

    def __init__(self, port: int, pictures: list[bytes]) -> None:
        self._port, self._pictures = port, pictures
        self._counting, self._ended = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self.latencies_ms: list[float] = []
        self.statuses: Counter[int] = Counter()

    def run(self, count: int, seconds: float) -> float:
        """Load the server, and return the number of seconds that count, which exclude the warm-up."""
        threads = [threading.Thread(target=self._send, args=(i,), daemon=True) for i in range(count)]
        for thread in threads:
            thread.start()
        time.sleep(WARM_UP_S)
        started = time.perf_counter()
        self._counting.set()
        time.sleep(seconds)
        self._counting.clear()
        counted_s = time.perf_counter() - started
        self._ended.set()
        for thread in threads:
            thread.join()
        return counted_s

    def _send(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._ended.is_set():
            number += 1
            started = time.perf_counter()
            pause_s = 0.0
            try:
                connection.request("POST", "/analyze", self._pictures[number % len(self._pictures)])
                answer = connection.getresponse()
                answer.read()
                status, pause_s = answer.status, float(answer.headers.get("Retry-After", 0))
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            if self._counting.is_set():
                with self._lock:
                    self.statuses[status] += 1
                    if status == http.HTTPStatus.OK:
                        self.latencies_ms.append((time.perf_counter() - started) * 1e3)
            self._ended.wait(pause_s)


def measure(pictures: list[bytes], counts: tuple[int, ...], seconds: float, options: list[str]) -> list[Load]:
    """Load one server with each number of clients in turn, after measuring the limit."""
    limit = limit_per_s(pictures, seconds)
    loads = []
    with server(options) as (port, process):
        for count in counts:
            clients = Clients(port, pictures)
            counted_s = clients.run(count, seconds)
            p50, p90, p99 = np.percentile(clients.latencies_ms or [np.nan], [50, 90, 99])
            per_s = len(clients.latencies_ms) / counted_s
            refused = clients.statuses[http.HTTPStatus.SERVICE_UNAVAILABLE]
            failed = clients.statuses.total() - refused - clients.statuses[http.HTTPStatus.OK]
            peak_mb, threads = status_of(process)
            loads.append(Load(count, per_s, per_s / limit, p50, p90, p99, refused, failed, peak_mb, threads))
    return loads


def limit_per_s(pictures: list[bytes], seconds: float) -> float:
    """Pictures per second of one process per core without HTTP."""
    count = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(count)
    with context.Pool(count, _set_barrier, (start,)) as pool:
        return sum(pool.starmap(_analyse, [(pictures, seconds)] * count, chunksize=1))


def _set_barrier(barrier: threading.Barrier) -> None:
    global _start
    _start = barrier


def _analyse(pictures: list[bytes], seconds: float) -> float:
    cv2.setNumThreads(1)
    done = 0
    with load(threads=1) as analyzer:
        images = [np.frombuffer(picture, np.uint8) for picture in pictures]
        analyzer.still(cv2.imdecode(images[0], cv2.IMREAD_COLOR))
        _start.wait()
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            analyzer.still(cv2.imdecode(images[done % len(images)], cv2.IMREAD_COLOR))
            done += 1
        return done / (time.perf_counter() - started)


def status_of(process: int) -> tuple[float, int]:
    """Peak resident memory in MB, and the number of threads."""
    text = Path(f"/proc/{process}/status").read_text()
    peak, threads = (int(re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[0]) for name in ("VmHWM", "Threads"))
    return peak / 1024, threads


def table(loads: list[Load]) -> str:
    """Markdown."""
    lines = ["| clients | pictures/s | of the limit | p50 ms | p90 ms | p99 ms | 503 | failed | peak MB | threads |"]
    lines.append("|---" * 10 + "|")
    for at in loads:
        times = f"{at.p50_ms:.0f} | {at.p90_ms:.0f} | {at.p99_ms:.0f}"
        rate = f"{at.pictures_per_s:.1f} | {at.of_limit:.0%}"
        counts = f"{at.refused} | {at.failed} | {at.peak_mb:.0f} | {at.threads}"
        lines.append(f"| {at.clients} | {rate} | {times} | {counts} |")
    return "\n".join(lines) + "\n"


def portrait() -> bytes:
    """NASA's portrait of Eileen Collins, public domain, as a JPEG."""
    import skimage.data

    return cv2.imencode(".jpg", cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR))[1].tobytes()


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    split = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="python -m edgeau.benchmarks.studies.serve_load", description=__doc__)
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--clients", type=arguments.values(arguments.positive_int), default=(1, 8, 64))
    parser.add_argument("--seconds", type=arguments.seconds, default=8.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words[:split])
    pictures = [file.read_bytes() for file in options.pictures] or [portrait()]
    loads = measure(pictures, options.clients, options.seconds, words[split + 1 :])
    sys.stdout.write(json.dumps([asdict(at) for at in loads], indent=2) + "\n" if options.json else table(loads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
