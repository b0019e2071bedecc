"""Runs commands of edgeau one after the other in one process, and reports the time of each.

A process of its own, so that everything is imported once, and so that the code may be that of another checkout: this
file imports nothing of edgeau but the command line, and is started by its path. Each line of standard input is a
command's words as JSON; each is answered with a line of JSON on standard output: ``code``, ``wall_s``, ``cpu_s`` (with
child processes), and ``said``, the last line that the command printed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from typing import Any


def main() -> None:
    """Answer until standard input ends."""
    from edgeau.runtime.cli import main as edgeau

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        # C libraries print too, which only redirecting the descriptors captures.
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        for line in sys.stdin:
            words = json.loads(line)
            output.seek(0)
            output.truncate()
            cpu, wall = _cpu_s(), time.perf_counter()
            try:
                code = edgeau(words)
            except SystemExit as end:  # --help does, and what argparse itself refuses
                code = end.code if isinstance(end.code, int) else 1
            answer: dict[str, Any] = {"code": code, "wall_s": time.perf_counter() - wall, "cpu_s": _cpu_s() - cpu}
            output.seek(0)
            said = output.read().strip().splitlines()
            answers.write(json.dumps({**answer, "said": said[-1] if said else ""}) + "\n")
            answers.flush()


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
