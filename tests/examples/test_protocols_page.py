"""docs/protocols.md: its commands run as they stand there, on fewer faces and with shorter training."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgeau.runtime.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
# As short as the commands can be; two people per part, so that one is left for validation.
SHORTER = {
    "train": "--steps 2 --batch 4 --eval-every 2 --device cpu --val 0.3 --config widths=(16,24) --config depths=(1,1) "
    "--config stem_width=8 --config group_width=8 --config block_maps=((0,),(1,))",
    "quantize": "--samples 8",
}


@pytest.mark.slow
def test_its_commands_run_from_the_first_check_to_an_int8_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, *commands = [shlex.split(line) for line in re.findall(r"^    (.*)$", PAGE, re.MULTILINE)]
    script = [sys.executable, str(ROOT / first[1]), first[2], "--frames", "6", "--people", "2"]
    subprocess.run(script, check=True, capture_output=True)
    aus = {"bp4d": "6,7,10,12", "disfa": "12,25"}  # often present
    for words in (words[1:] for words in commands if words[1] != "run"):
        shorter = shlex.split(SHORTER.get(words[0], ""))
        if words[0] == "train":
            shorter += ["--aus", next(aus[word] for word in aus if f"{word}:" in " ".join(words))]
        assert main([*words, *shorter]) == 0, words
    printed = capsys.readouterr().out
    assert "ready to train on" in printed
    for line in ("F1 in %, at probability 0.5", "ICC(3,1) of intensities", "PCC of intensities", "mirror image"):
        assert line in printed
    assert "disfa.edgeau (cednn, int8-ort, onnxruntime): 2 subjects" in printed
