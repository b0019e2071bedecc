"""Fuzz the readers, each target for at most SECONDS: ``python tests/fuzz SECONDS [EXECUTIONS [TARGET...]]``.

Mutations are drawn at random from a fixed seed, so a number of executions that passed once passes again.

With atheris (``pip install atheris``), ``python tests/fuzz --guided TARGET SECONDS`` fuzzes one target guided by
coverage. The exit code is 1 if anything but EdgeauError was raised; the inputs responsible are saved in ``build/fuzz``.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from mutate import mutate

if TYPE_CHECKING:
    from targets import Target

KEPT = Path("build/fuzz")


def fuzz(name: str, target: Target, seconds: float, most: float, seed: int = 0) -> tuple[int, int]:
    """Run random mutations, at most ``most`` of them, and return the numbers of executions and failures."""
    from targets import attempt

    rng, until = random.Random(seed), time.monotonic() + seconds
    executions, failures, pool = 0, set(), list(target.seeds)
    while executions < most and time.monotonic() < until:
        data = mutate(rng.choice(pool), rng)
        executions += 1
        try:
            if attempt(target, data) and len(pool) < 200:
                pool.append(data)
        except Exception as error:  # noqa: BLE001 - any other exception is a finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            failures.add(f"{type(error).__name__} at {place.filename}:{place.lineno}: {str(error)[:120]}")
            if len(failures) < 50:
                KEPT.mkdir(parents=True, exist_ok=True)
                (KEPT / f"{name}-{executions}").write_bytes(data)
    for failure in sorted(failures):
        print(f"  {name}: {failure}")
    return executions, len(failures)


def guided(name: str, seconds: int) -> int:
    """Run one target under atheris, which ends this process."""
    import atheris

    with atheris.instrument_imports(include=["edgeau"]):  # modules imported earlier are not instrumented
        from targets import attempt, make_targets

        target = make_targets(Path(tempfile.mkdtemp(prefix="edgeau-fuzz-")))[name]
    corpus = KEPT / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    rng = random.Random(0)

    def own(data: bytes, limit: int, seed: int) -> bytes:
        if seed % 2:
            return atheris.Mutate(data, limit)
        rng.seed(seed)
        return mutate(data, rng)[:limit]

    options = [f"-max_total_time={seconds}", f"-artifact_prefix={KEPT}/{name}-", "-timeout=20", "-rss_limit_mb=4096"]
    atheris.Setup(
        [name, *options, "-max_len=65536", str(corpus)], lambda data: attempt(target, data) and None, custom_mutator=own
    )
    atheris.Fuzz()
    return 0


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    if arguments[:1] == ["--guided"]:
        return guided(arguments[1], int(arguments[2]))
    from targets import make_targets

    seconds, most, names = float(arguments[0]), float(arguments[1] if arguments[1:] else "inf"), arguments[2:]
    total = failed = 0
    with tempfile.TemporaryDirectory(prefix="edgeau-fuzz-") as folder:
        targets = make_targets(Path(folder))
        for name in names or targets:
            executions, failures = fuzz(name, targets[name], seconds, most)
            print(f"{name:<10} {executions:>9} executions {failures:>4} failures")
            total, failed = total + executions, failed + failures
    print(f"{'all':<10} {total:>9} executions {failed:>4} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
