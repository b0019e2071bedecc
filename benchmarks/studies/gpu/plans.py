"""What a real plan looks like, what `inspect` says of it, and whether plans that must not run are refused.

    python -m edgeau.benchmarks.studies.gpu.plans ENGINE... -o plans.json

For each plan: its first 64 bytes, and what loading says where a byte in its middle was flipped, where the sidecar was
written for that flipped plan as well (TensorRT itself must refuse or survive it), where it was cut, where its sidecar
names another compute capability, and where it has no sidecar. Copies are altered, never the plans.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeau.runtime.engine_check import describe_engine
from edgeau.runtime.engine_file import read_sidecar, write_sidecar
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import write_json
from edgeau.runtime.terminal import note, say

HEADER_SHOWN = 64
OTHER_CAPABILITY = "8.7"
_LOAD = "import sys; from edgeau.runtime.backends import open_backend; open_backend('tensorrt', sys.argv[1]).close()"


def altered_copies(engine: Path, folder: Path) -> dict[str, Path]:
    """Copies of a plan in which one thing each is wrong, by what it is."""
    plan, sidecar = engine.read_bytes(), read_sidecar(engine)
    middle = len(plan) // 2
    flipped = plan[:middle] + bytes([plan[middle] ^ 0xFF]) + plan[middle + 1 :]
    vouched = dataclasses.replace(sidecar, engine_sha256=hashlib.sha256(flipped).hexdigest())
    foreign = dataclasses.replace(sidecar, compute_capability=OTHER_CAPABILITY)
    wrongs: dict[str, tuple[bytes, Any]] = {
        "flipped byte": (flipped, sidecar),
        "flipped byte, sidecar fits": (flipped, vouched),
        "cut in half": (plan[:middle], sidecar),
        "other compute capability": (plan, foreign),
        "no sidecar": (plan, None),
        "unaltered": (plan, sidecar),
    }
    copies = {}
    for number, (wrong, (data, facts)) in enumerate(wrongs.items()):
        copies[wrong] = folder / f"{number}.engine"
        copies[wrong].write_bytes(data)
        if facts is not None:
            write_sidecar(copies[wrong], facts)
    return copies


def load_apart(plan: Path) -> str:
    """What loading a plan says, in a process that it may take down: its last line, ``loaded``, or the signal."""
    done = subprocess.run([sys.executable, "-c", _LOAD, str(plan)], capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    return "loaded" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]


def study(engine: Path, load: Callable[[Path], str] = load_apart) -> dict[str, Any]:
    """One plan: header, description, and what loading each altered copy says."""
    with tempfile.TemporaryDirectory() as folder:
        answers = {wrong: load(copy) for wrong, copy in altered_copies(engine, Path(folder)).items()}
    return {
        "engine": engine.name,
        "header": engine.read_bytes()[:HEADER_SHOWN].hex(),
        "inspect": describe_engine(engine).to_json(),
        "loading": answers,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Study each, print and write. 1 where one that is altered was loaded, or the unaltered one was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    results = [study(engine) for engine in args.engines]
    write_json(args.out, results)
    wrong = 0
    for result in results:
        for what, answer in result["loading"].items():
            # A plan whose sidecar vouches for it is TensorRT's to refuse, and it need not notice one byte of a weight.
            if what != "flipped byte, sidecar fits":
                wrong += (answer == "loaded") != (what == "unaltered")
            say(f"{result['engine']}  {what}: {answer}")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeauError as error:
        note(f"edgeau: {error}")
        sys.exit(2)
