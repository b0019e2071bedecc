from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeau.runtime import cli, plugins
from edgeau.runtime.errors import InputError, MissingExtraError

VERBS = [
    "demo", "doctor", "data check", "data prepare", "synth", "train", "distill", "eval", "export", "import", "quantize",
    "build", "optimize", "inspect", "bench", "bench claims", "bench compare", "bench peers", "bench chain", "run",
    "serve",
]  # fmt: skip


def test_verbs_are_listed_from_data_to_device() -> None:
    assert [verb.name for verb in cli.all_verbs()] == VERBS


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        cli.load_verb(next(verb for verb in cli.all_verbs() if verb.name == name))
    except (MissingExtraError, InputError) as reason:
        pytest.skip(str(reason))
    with pytest.raises(SystemExit) as caught:
        cli.main([*name.split(), "--help"])
    assert caught.value.code == 0
    assert f"edgeau {name}" in capsys.readouterr().out.split("\n\n", 1)[1]


def test_a_verb_that_needs_a_newer_python_names_the_version() -> None:
    with pytest.raises(InputError, match=r"Python for `edgeau fly`: got 3\.\d+\.\d+, expected 99\.1 or newer"):
        cli.load_verb(cli.Verb("fly", "edgeau.fly", "all", "", 0, (99, 1)))


def test_help_needs_no_optional_dependency() -> None:
    code = "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnx', 'cv2', 'onnxruntime', 'openvino']));"
    code += "from edgeau.runtime.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "distill" in done.stdout


def test_unknown_verbs_and_options_exit_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nonsense"]) == 2
    assert "verb: got nonsense, expected demo, doctor" in capsys.readouterr().err
    assert cli.main(["run", "x.png", "--nonsense"]) == 2
    assert "edgeau: unrecognized arguments: --nonsense; see edgeau --help" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["train", "build", "bench"])
def test_with_only_the_runtime_installed_its_verbs_work_and_others_are_refused(verb: str) -> None:
    code = (
        "import sys;"
        "sys.modules.update(dict.fromkeys([f'edgeau.{n}' for n in ('train', 'export', 'optimize', 'benchmarks')]));"
        f"from edgeau.runtime.cli import main; sys.exit(main(['{verb}']) if main(['inspect']) == 0 else 99)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"verb: got {verb}, expected doctor, inspect, run, serve; not installed here: " in done.stderr


def test_without_package_metadata_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "registered", lambda group: {})
    assert cli.main(["train"]) == 2
    assert "not registered here; type: pip install edgeau" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InputError("thing", got="this", expected="that", hint="do so"), "thing: got this, expected that; do so"),
        (OSError(28, "No space left on device", "/full/disk"), "No space left on device: /full/disk"),
        (MissingExtraError("onnx", "optimize", "this"), "pip install 'edgeau[optimize]'"),
    ],
)
def test_errors_print_one_line_and_exit_with_code_2(
    error: BaseException, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeau.runtime.commands import inspect

    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(inspect, "run", fail)
    assert cli.main(["inspect"]) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_characters_that_the_locale_lacks_are_replaced() -> None:
    code = "from edgeau.runtime.terminal import say; say('AU12 \\u2713')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, b"AU12 ?\n")


def test_a_closed_pipe_prints_no_traceback() -> None:
    code = "import sys; from edgeau.runtime.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run(
        f'"{sys.executable}" -c "{code}" | true', shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_an_unexpected_exception_prints_one_line_and_logs_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from edgeau.runtime.commands import inspect

    def fail(args: object) -> int:
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setenv("EDGEAU_CACHE", str(tmp_path))
    monkeypatch.setattr(inspect, "run", fail)
    assert cli.main(["inspect"]) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert "unexpected ZeroDivisionError: by nothing; this is a defect of edgeau" in stderr
    (log,) = (tmp_path / "log").iterdir()
    assert str(log) in stderr
    assert "raise ZeroDivisionError" in log.read_text()
    monkeypatch.setenv("EDGEAU_DEBUG", "1")
    cli.main(["inspect"])
    assert "raise ZeroDivisionError" in capsys.readouterr().err


COMMAND = '"$0" -c "import sys; from edgeau.runtime.cli import main; sys.exit(main(sys.argv[1:]))" '


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">&-", 0, b""),
        ("2>&-", 0, b""),
        (">&- 2>&-", 0, b""),
        (">/dev/full", 2, b"edgeau: No space left on device\n"),
        (">/dev/full 2>/dev/full", 2, b""),
        ("<&- >&- 2>&-", 0, b""),
        ("2>/dev/full", 0, b""),
    ],
)
def test_closed_and_full_standard_streams(redirection: str, code: int, said: bytes) -> None:
    for verb in ("inspect --json", "inspect"):
        command = ["bash", "-c", COMMAND + verb + " " + redirection, sys.executable]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == code, done.stderr
        assert done.stderr == said


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2> >(exec true)"])
def test_work_finishes_when_progress_messages_cannot_be_written(redirection: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; from edgeau.runtime import cli, terminal; from edgeau.runtime.commands import inspect\n"
        "def run(args):\n"
        "    for _ in range(3): terminal.note('working'), time.sleep(0.1)\n"
        "    open('result', 'w').write('all of it')\n"
        "    return 0\n"
        "inspect.run = run\nsys.exit(cli.main(['inspect']))"
    )
    command = ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, code]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "result").read_text() == "all of it"


def test_opened_files_never_reuse_the_descriptor_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys; from edgeau.runtime import cli; from edgeau.runtime.commands import inspect\n"
        "def run(args):\n"
        "    with open('result', 'w') as file: os.write(1, b'of a library'), file.write(str(file.fileno() > 2))\n"
        "    return 0\n"
        "inspect.run = run\nsys.exit(cli.main(['inspect']))"
    )
    command = ["bash", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "result").read_text() == "True"


def test_an_unexpected_exception_is_one_line_without_home_or_writable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    code = (
        "import sys; from edgeau.runtime import cli; from edgeau.runtime.commands import inspect\n"
        "inspect.run = lambda args: 1 / 0\nsys.exit(cli.main(['inspect']))"
    )
    environment = {**os.environ, "EDGEAU_CACHE": str(tmp_path / "file"), "TMPDIR": str(tmp_path), "LC_ALL": "C"}
    environment.pop("HOME", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "this is a defect of edgeau" in done.stderr


CTRL_C_DURING_IMPORT = """
import sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
from edgeau.runtime.__main__ import main
sys.exit(main())
"""


def test_ctrl_c_during_imports_prints_one_line() -> None:
    process = subprocess.run([sys.executable, "-c", CTRL_C_DURING_IMPORT], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (130, "edgeau: interrupted\n")
