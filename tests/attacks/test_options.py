"""Invalid values for every option of every verb. Options come from the parsers, and one without values fails a test.

Each value must give exit code 2 and one line without a traceback, and leave all files unchanged.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeau.runtime import cli
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import shipped_package

NUMBERS = ("", "x", "nan", "inf", "-1", "-0.5", "1e400", "1e300", "0", "1.5", "9" * 40, "0x10", "1,2", "\u0661\u0662x")

# Files in the working folder, which `lay_out` creates.
PACKAGES = ("absent", "empty", "photo.png", "thesis.txt", "broken.edgeau", "fifo.png", "")
DATA = ("absent", "empty", "thesis.txt", "broken.npz", "photo.png", "synthetic:frames=x", "nonsense:1")
FOLDERS_OUT = ("home", "thesis.txt", "-", "whole.edgeau/inside", "whole.edgeau")
FILES_OUT = ("home", "whole.edgeau", "thesis.txt/x")
MODELS = ("absent.onnx", "thesis.txt", "broken.onnx", "empty", "fifo.png", "")
CHECKPOINTS = ("absent.pt", "thesis.txt", "empty", "photo.png")

# Invalid values of text options, by verb and name of the parsed value; "*" means every verb.
TEXTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("*", "package"): PACKAGES,
    ("*", "packages"): PACKAGES,
    ("*", "variant"): ("int3", ""),
    ("*", "variants"): ("int3",),
    ("*", "backend"): ("abacus", ""),
    ("*", "backends"): ("abacus", "onnxruntime,abacus"),
    ("*", "neutral"): ("absent.png", "thesis.txt", "empty", "fifo.png"),
    ("*", "data"): DATA,
    ("*", "calib"): DATA,
    ("*", "val_data"): DATA,
    ("*", "eval"): DATA,
    ("*", "crops"): DATA,
    ("*", "aus"): ("smile", "1,1", "99", ","),
    ("demo", "out"): ("thesis.txt",),
    ("doctor", "root"): ("absent", "thesis.txt", ""),
    ("synth", "out"): ("home", "thesis.txt", "whole.edgeau"),
    ("synth", "face"): ("absent", "thesis.txt", "empty"),
    ("data check", "spec"): ("absent", "bp4d:absent", "bp4d:", "nonsense:1", "thesis.txt", "empty"),
    ("data prepare", "spec"): ("absent", "bp4d:absent", "bp4d:", "nonsense:1", "thesis.txt", "empty"),
    ("data prepare", "out"): ("home", "thesis.txt", "whole.edgeau"),
    ("train", "model"): ("nonsense", ""),
    ("train", "out"): ("home", "thesis.txt", "whole.edgeau"),
    ("distill", "out"): ("home", "thesis.txt", "whole.edgeau"),
    ("*", "resume"): ("absent", "empty", "thesis.txt"),
    ("*", "config"): ("nonsense", "=1", "size_px=x"),
    ("*", "init"): CHECKPOINTS,
    ("*", "fan"): CHECKPOINTS,
    ("*", "device"): ("abacus", "cuda:99"),
    ("*", "folds"): ("0", "1", "some", "99", ""),
    ("*", "fold"): ("part9", ""),
    ("distill", "teacher"): CHECKPOINTS,
    ("distill", "student"): ("nonsense",),
    ("distill", "unlabelled"): DATA,
    ("train", "assist"): ("absent", "thesis.txt", "empty", "home"),
    ("distill", "peers"): ("nonsense", "cednn-s", ","),
    ("eval", "model"): (*PACKAGES, *CHECKPOINTS),
    ("eval", "subjects"): ("nobody",),
    ("export", "checkpoint"): CHECKPOINTS,
    ("export", "output"): FOLDERS_OUT,
    ("export", "name"): ("",),
    ("export", "notes"): (),  # any text is right
    ("import", "model"): MODELS,
    ("import", "out"): FOLDERS_OUT,
    ("import", "classes"): ("", ",", "smile,smile"),
    ("import", "mean"): ("x", "nan", "1,2", ""),
    ("import", "std"): ("0", "x", "nan", "-1"),
    ("import", "output"): ("absent",),
    ("import", "template"): ("1,2", "x", "nan," * 9 + "nan"),
    ("quantize", "targets"): ("abacus", "", ","),
    ("quantize", "out"): FOLDERS_OUT,
    ("optimize", "out"): FOLDERS_OUT,
    ("build", "batch"): ("0", "x", "8,1,1", "1,2", ""),
    ("build", "tactics"): ("NONSENSE",),
    ("build", "target"): ("toaster", "orin-nano:9.9"),
    ("build", "host"): ("-oProxyCommand=x", ""),
    ("build", "ssh"): ("'",),
    ("build", "wheel"): ("absent.whl", "thesis.txt"),
    ("build", "out"): FILES_OUT,
    ("build", "detector"): MODELS,
    ("build", "detector_size"): ("", "x", "640", "640x", "641x384", "0x0", "-32x32", "640x384,"),
    ("build", "detector_data"): ("absent", "empty"),
    ("build", "triton"): ("thesis.txt",),
    ("inspect", "file"): (*PACKAGES[:-1], *MODELS[:-1], "camera.engine"),
    ("inspect", "target"): ("toaster", "tensorrt-x"),
    ("inspect", "fix"): ("home", "model.onnx"),
    ("inspect", "inputs"): ("absent", "thesis.txt", "broken.npz"),
    ("inspect", "float"): MODELS,
    ("bench", "threads"): ("0", "x", "1,,2", "nan"),
    ("bench", "batch"): ("0", "x", "-1"),
    ("bench", "provider"): (),  # a failure of ONNX Runtime's lines; the other backends are measured
    ("bench", "callers"): ("0", "x", "-1"),
    ("bench", "claims"): ("absent.json", "thesis.txt"),
    ("bench", "peers"): ("absent.json", "thesis.txt"),
    ("bench", "csv"): FILES_OUT,
    ("bench", "device_matrix"): ("absent", "empty", "thesis.txt"),
    ("bench", "out"): FILES_OUT,
    ("bench", "html"): FILES_OUT,
    ("bench chain", "steps"): ("nonsense", "", "synth,"),
    ("bench chain", "out"): FILES_OUT,
    ("bench compare", "provider"): (),
    ("bench compare", "old"): PACKAGES,
    ("bench compare", "new"): PACKAGES,
    ("bench peers", "package"): PACKAGES,
    ("bench peers", "peers"): ("nonsense", "", ","),
    ("bench peers", "tools"): ("nonsense", "", ","),
    ("bench peers", "tflite"): ("absent.tflite",),
    ("bench peers", "clip"): ("absent.mp4", "empty", "thesis.txt", "cut.mp4", "fifo.png", "photo.png"),
    ("bench peers", "out"): FILES_OUT,
    ("bench claims", "out"): FILES_OUT,
    ("bench claims", "html"): FILES_OUT,
    ("run", "source"): (
        "absent.png",
        "absent.mp4",
        "empty",
        "thesis.txt",
        "cut.mp4",
        "fifo.png",
        "camera:x",
        "x://y",
        "",
    ),
    ("run", "cluster"): ("nonsense", ""),
    ("run", "output"): ("home", "thesis.txt", "photo.png", "rows.xyz", "whole.edgeau"),
    ("run", "annotate"): ("photo.png", "rows.xyz", "thesis.txt/x.png"),
    ("run", "plot"): ("thesis.txt", "home", "plot.png", "photo.png", "plot.svg"),  # the source is a picture
    ("run", "detector"): ("absent", "thesis.txt", "empty", "broken.onnx"),
    ("run", "neutral_policy"): ("sometimes", ""),
    ("serve", "host"): ("256.0.0.1", "nonsense.invalid"),
}


def options_of(verb: cli.Verb) -> list[argparse.Action]:
    parser = cli._parser(verb)
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return [a for a in subparsers.choices[verb.name]._actions if a.nargs != 0]


def wrong_values(verb: str, action: argparse.Action) -> tuple[str, ...] | None:
    """Values that an option must refuse, or None if the table has none."""
    if action.choices is not None:
        return ("nonsense", "")
    texts = TEXTS.get((verb, action.dest), TEXTS.get(("*", action.dest)))
    if action.type in (None, Path) or texts is not None:
        return texts
    return tuple(text for text in NUMBERS if refuses(action.type, text))


def holds_text(verb: str, action: argparse.Action) -> bool:
    in_table = (verb, action.dest) in TEXTS or ("*", action.dest) in TEXTS
    return action.choices is None and (in_table or action.type in (None, Path))


def refuses(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except argparse.ArgumentTypeError:
        return True
    return False


ALL = [(verb, action) for verb in cli.all_verbs() for action in options_of(verb)]


def test_every_option_has_invalid_values() -> None:
    missing = [f"{verb.name} {a.dest}" for verb, a in ALL if wrong_values(verb.name, a) is None]
    assert missing == []
    typed = [(verb, a) for verb, a in ALL if a.type not in (None, Path)]
    assert [(verb.name, a.dest) for verb, a in typed if not wrong_values(verb.name, a)] == []


@pytest.fixture
def place(tmp_path: Path, photo_bgr: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files that a user may name by mistake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEAU_CACHE", str(tmp_path.parent / "cache"))
    lay_out(photo_bgr)
    return tmp_path


def lay_out(photo_bgr: np.ndarray) -> None:
    """Create the files named by the values above in the current folder."""
    Path("photo.png").write_bytes(cv2.imencode(".png", photo_bgr)[1].tobytes())
    Path("thesis.txt").write_text("years of work")
    for name in ("empty", "home", "broken.edgeau"):
        Path(name).mkdir()
    Path("home/thesis.txt").write_text("years of work")
    Path("broken.edgeau/manifest.json").write_text('{"schema_version": 1, "aus": [')
    for name in ("broken.npz", "broken.onnx", "cut.mp4", "camera.engine"):
        Path(name).write_bytes(b"PK\x03\x04 not really")
    os.mkfifo("fifo.png")
    shutil.copytree(shipped_package(), "whole.edgeau")
    shutil.copyfile("whole.edgeau/fp32.onnx", "model.onnx")
    Path("own").mkdir()
    shutil.copyfile("photo.png", "own/photo.png")
    Path("own/labels.csv").write_text("file,subject,AU12\nphoto.png,anna,1\n")
    np.savez("faces.npz", faces=np.zeros((4, 112, 112, 3), np.uint8))


def state(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b""
        for p in sorted(folder.rglob("*"))
        if "__pycache__" not in p.parts
    }


# The other arguments of each verb, all valid.
RIGHT: dict[str, list[str]] = {
    "demo": ["--seconds", "0.1"],
    "doctor": [],
    "synth": ["--out", "new", "--subjects", "1", "--frames", "1", "--size", "16"],
    "data check": ["own"],
    "data prepare": ["own", "--out", "new"],
    "train": ["--model", "cednn-s", "--data", "faces.npz", "--out", "new", "--steps", "1", "--device", "cpu"],
    "distill": ["--peers", "cednn-s,cednn-s", "--data", "faces.npz", "--out", "new", "--steps", "1", "--device", "cpu"],
    "eval": ["whole.edgeau", "--data", "faces.npz"],
    "export": ["absent.pt", "-o", "new"],
    "import": ["model.onnx", "--aus", "1,2", "-o", "new"],
    "quantize": ["whole.edgeau", "--calib", "faces.npz", "-o", "new"],
    "build": ["whole.edgeau"],
    "optimize": ["whole.edgeau", "--eval", "faces.npz", "-o", "new"],
    "inspect": ["model.onnx", "--target", "tensorrt-10.3"],
    "bench": [
        "whole.edgeau",
        "--seconds",
        "0.01",
        "--warmup",
        "0",
        "--rounds",
        "1",
        "--no-memory",
        "--no-limit",
        "--no-stages",
    ],
    "bench chain": ["--steps", "synth", "--rounds", "1"],
    "bench claims": ["whole.edgeau", "--seconds", "0.01", "--warmup", "0", "--rounds", "1"],
    "bench peers": [
        "whole.edgeau",
        "--peers",
        "none",
        "--tools",
        "none",
        "--seconds",
        "0.01",
        "--warmup",
        "0",
        "--rounds",
        "1",
    ],
    "bench compare": ["whole.edgeau", "whole.edgeau", "--seconds", "0.01", "--warmup", "0", "--rounds", "1"],
    "run": ["photo.png"],
    "serve": ["--port", "0"],
}


def command(verb: str, action: argparse.Action, value: str) -> list[str]:
    right = list(RIGHT[verb])
    if not action.option_strings:
        place = [a.dest for a in options_of(next(v for v in cli.all_verbs() if v.name == verb)) if not a.option_strings]
        right[place.index(action.dest)] = value
        return [verb, *right]
    for name in action.option_strings:
        if name in right:
            right[right.index(name) + 1] = value
            return [verb, *right]
    return [verb, *right, f"{max(action.option_strings, key=len)}={value}"]


class Hanging(BaseException):
    """Not an Exception, so that no handler of the command line catches it."""


@contextlib.contextmanager
def ends_within(limit_s: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Hanging(f"still running after {limit_s} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


ROWS = [
    pytest.param(verb.name, action, value, id=f"{verb.name}-{action.dest}-{value[:20]!r}")
    for verb, action in ALL
    for value in wrong_values(verb.name, action) or ()
    if holds_text(verb.name, action)
]


@pytest.mark.parametrize("verb", cli.all_verbs(), ids=lambda verb: verb.name)
def test_invalid_numbers_and_choices_are_refused_by_the_parser(verb: cli.Verb) -> None:
    parser = cli._parser(verb)
    for action in options_of(verb):
        if not holds_text(verb.name, action):
            for value in wrong_values(verb.name, action) or ():
                with pytest.raises(InputError) as caught:
                    parser.parse_args(command(verb.name, action, value))
                assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("verb", "action", "value"), ROWS)
def test_an_invalid_value_is_a_one_line_error_and_changes_no_files(
    verb: str, action: argparse.Action, value: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = state(place)
    words = command(verb, action, value)
    words[:1] = verb.split()
    with ends_within(60):
        code = cli.main(words)
    stderr = capfd.readouterr().err
    lines = [x for x in stderr.splitlines() if x.startswith("edgeau: ") and not x.startswith("edgeau: warning: ")]
    assert code == 2, (words, stderr)
    assert len(lines) == 1, (words, stderr)
    assert "defect of edgeau" not in stderr, (words, stderr)
    assert "Traceback" not in stderr
    assert state(place) == before, words
