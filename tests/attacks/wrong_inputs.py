"""Try every invalid value of every option, each in a separate process: ``python tests/attacks/wrong_inputs.py``.

The values are those of test_options.py. A value is refused by one line and exit code 2 with all files unchanged.
Anything else is counted and printed: a traceback, a signal, a timeout of one minute, an accepted value, a changed file.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import skimage
from test_options import ALL, command, lay_out, state, wrong_values

from edgeau.runtime import cli

LIMIT_S = 60
REFUSED = "refused"


def child(words: list[str]) -> None:
    """Run one command and exit with its exit code; its output goes to the file ``said``."""
    said = os.open("../said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_S)
    code = 70
    try:
        code = cli.main(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def outcome(words: list[str], folder: Path) -> str:
    """Run one command in a folder with files and return its outcome."""
    before = state(folder)
    pid = os.fork()
    if pid == 0:
        child(words)
    _, status = os.waitpid(pid, 0)
    said = (folder.parent / "said").read_text(errors="replace")
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) == signal.SIGALRM else "killed by a signal"
    if state(folder) != before:
        return "a file changed"
    if "Traceback" in said or "defect of edgeau" in said:
        return "traceback"
    return {0: "value taken", 2: REFUSED}.get(os.WEXITSTATUS(status), f"exit code {os.WEXITSTATUS(status)}")


def main() -> int:
    """See the module's docstring."""
    photo_bgr = skimage.data.astronaut()[..., ::-1]
    rows = [(verb.name, action, value) for verb, action in ALL for value in wrong_values(verb.name, action) or ()]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="edgeau-attack-") as name:
        folder = Path(name) / "place"
        os.environ["EDGEAU_CACHE"] = f"{name}/cache"
        for verb, action, value in rows:
            folder.mkdir()
            os.chdir(folder)
            lay_out(photo_bgr)
            words = [*verb.split(), *command(verb, action, value)[1:]]
            result = outcome(words, folder)
            counts[result] += 1
            if result != REFUSED:
                print(f"{result}: edgeau {' '.join(map(repr, words))}", flush=True)
            os.chdir(name)
            shutil.rmtree(folder)
    print(f"{len(rows)} wrong inputs: {', '.join(f'{n} {what}' for what, n in counts.most_common())}")
    return int(set(counts) != {REFUSED})


if __name__ == "__main__":
    sys.exit(main())
