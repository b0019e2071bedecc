"""A bundle is one file that says what it will do, builds on a bare device, and refuses to run if damaged."""

import dataclasses
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from edgeau.optimize.engine.builder import BuilderSettings
from edgeau.optimize.engine.bundle import make_bundle
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.recipe import read_recipe
from edgeau.optimize.engine.wheel import check_wheel, write_wheel
from edgeau.runtime.cli import main
from edgeau.runtime.engine_check import describe_engine
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package


@pytest.fixture
def bundle(package, crops_file, tmp_path, wheel):
    """A bundle for an Orin Nano that skips parity, which can't be measured without a GPU."""
    options = MakeOptions(
        crops=str(crops_file), parity=False, builder=BuilderSettings(batch=(1, 1, 8), workspace_mib=64)
    )
    return make_bundle(package, "orin-nano:6.2", options, tmp_path / "toy-orin-nano.sh", wheel=wheel).path


def test_a_bundle_lists_the_files_that_the_ladder_needs(bundle, device):
    listed = device.run("sh", bundle, "--list", check=True).stdout.split()
    variants = ["toy.edgeau/fp16.onnx", "toy.edgeau/fp32.onnx", "toy.edgeau/int8-tensorrt.onnx"]
    assert set(listed) >= {"install.sh", "recipe.json", "parity.npz", "toy.edgeau/manifest.json", *variants}
    assert [name for name in listed if name.endswith(".whl")]


def test_a_folder_that_cannot_be_created_is_a_one_line_error(bundle, device):
    done = device.run("sh", bundle, "--into", "/dev/null/here", "--yes")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "can't make /dev/null/here; give --into another folder" in done.stderr


def test_a_folder_with_a_colon_in_its_name_is_refused(bundle, device):
    done = device.run("sh", bundle, "--into", "a:b", "--yes")
    assert done.returncode == 2
    assert "has a colon in its name" in done.stderr


def test_a_bundle_asks_before_it_does_anything(bundle, device):
    done = device.run("sh", bundle, "--into", "here", input="n\n")
    assert done.returncode == 2
    assert "build an engine with this machine's TensorRT: int8, batch 1,1,8; if that fails mixed" in done.stdout
    assert "nothing was done" in done.stderr
    assert not (device.home / "here" / "lib").exists()


def test_without_tensorrt_a_bundle_says_what_to_install(bundle, device):
    done = device.run("sh", bundle, "--into", "here", "--yes")
    assert done.returncode == 2
    assert "has no tensorrt; on a Jetson type: sudo apt-get install python3-libnvinfer" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("version", ["8.5", "10.3", "11.1"])
def test_with_tensorrt_a_bundle_builds_an_engine_and_a_report(bundle, device, version):
    device.install_tensorrt(version)
    done = device.run("sh", bundle, "--into", "here", "--yes")
    assert done.returncode == 0, done.stderr
    assert "building int8 from int8-tensorrt.onnx" in done.stderr
    assert "this bundle was made for orin-nano" in done.stderr
    report = json.loads((device.home / "here" / "report.json").read_text())
    engine = device.home / "here" / report["engine"]
    assert describe_engine(engine).intact is True
    assert report["sidecar"]["settings"]["workspace_mib"] == 64
    assert report["sidecar"]["batch"] == [1, 1, 8]


def test_an_existing_folder_is_reused_only_with_again(bundle, device):
    device.run("sh", bundle, "--into", "here", input="n\n")
    done = device.run("sh", bundle, "--into", "here", "--yes")
    assert "exists; give --into another folder, or --again" in done.stderr
    assert "has no tensorrt" in device.run("sh", bundle, "--into", "here", "--yes", "--again").stderr


def test_a_truncated_bundle_is_refused_before_anything_is_unpacked(bundle, device):
    bundle.write_bytes(bundle.read_bytes()[:-100])
    done = device.run("sh", bundle, "--into", "here", "--yes")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "truncated or altered" in done.stderr
    assert not list(device.home.glob("here*"))


def test_a_file_altered_after_unpacking_is_refused(bundle, device):
    device.install_tensorrt()
    device.run("sh", bundle, "--into", "here", input="n\n")
    onnx = device.home / "here" / "toy.edgeau" / "int8-tensorrt.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-1])
    done = device.run("sh", bundle, "--into", "here", "--yes", "--again")
    assert done.returncode == 2
    assert "differs from the SHA-256 in its manifest" in done.stderr
    (device.home / "here" / "parity.npz").write_bytes(b"other")
    assert "parity.npz is missing or altered" in device.run("sh", "here/install.sh", "--yes").stderr


def test_a_full_disk_leaves_nothing_unpacked(bundle, device):
    tar = device.home / "bin" / "tar"
    tar.parent.mkdir()
    tar.write_text("#!/bin/sh\ncat >/dev/null\necho 'tar: write error: No space left on device' >&2\nexit 2\n")
    tar.chmod(0o755)
    done = device.run("sh", "-c", f"PATH={tar.parent}:$PATH sh {bundle} --into here --yes")
    assert done.returncode == 2
    assert "is the disk full?" in done.stderr
    assert not list(device.home.glob("here*"))


def test_the_bundled_crops_include_the_fp32_reference(package, crops_file, bundle, device):
    device.run("sh", bundle, "--into", "here", input="n\n")
    with np.load(device.home / "here" / "parity.npz") as arrays:
        assert arrays["faces"].shape == (12, 32, 32, 3)
        assert arrays["reference"].shape == (12, 4)
    recipe = read_recipe(device.home / "here")
    assert (recipe.target, recipe.options.precision, recipe.options.builder.batch) == (
        "orin-nano:6.2",
        "int8",
        (1, 1, 8),
    )
    assert recipe.options_in(device.home).crops == str(device.home / "parity.npz")


def test_the_wheel_installs_and_runs_on_a_bare_device(tmp_path, device, wheel):
    check_wheel(wheel)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", tmp_path / "lib", wheel],
        check=True,
    )
    code = "import sys; sys.path.insert(0, sys.argv[1]); from edgeau.runtime.cli import main; main(['--version'])"
    done = device.run(device.python, "-c", code, tmp_path / "lib")
    assert done.stdout.startswith("edgeau ")


def test_a_wheel_is_written_without_importing_the_layers_in_it(tmp_path):
    code = "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnx', 'nncf', 'cv2']));"
    code += "from edgeau.optimize.engine.wheel import write_wheel; print(write_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "edgeau/train/trainer.py" in zipfile.ZipFile(done.stdout.strip()).namelist()


def test_a_wheel_ignores_stale_metadata_in_a_checkout(tmp_path, monkeypatch):
    (tmp_path / "edgeau.egg-info").mkdir()
    (tmp_path / "edgeau.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: edgeau\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with zipfile.ZipFile(check_wheel(write_wheel(tmp_path))) as wheel:
        names = wheel.namelist()
        info = next(name for name in names if name.endswith("entry_points.txt"))
        assert "edgeau.crop_sources" in wheel.read(info).decode()
    assert {name.split("/")[1] for name in names if name.startswith("edgeau/")} >= {"runtime", "optimize", "train"}


def test_a_wheel_of_another_project_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(InputError, match="a wheel of this edgeau"):
        check_wheel(tmp_path / "other.whl")
    with pytest.raises(InputError, match="expected a wheel of edgeau"):
        check_wheel(tmp_path / "none.whl")


def test_the_command_line_makes_a_bundle(package, crops_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", str(package.path), "--target", "xavier-nx", "--crops", str(crops_file), "--json"]) == 0
    bundle = json.loads(capsys.readouterr().out)
    assert (bundle["path"], bundle["samples"]) == ("toy-xavier-nx.sh", 12)
    assert main(["build", str(package.path), "--target", "nano"]) == 2
    assert "expected orin-nano" in capsys.readouterr().err


def test_a_package_without_int8_is_refused_with_the_command_to_make_it(package, crops_file, tmp_path):
    import dataclasses

    bare = package.with_manifest(dataclasses.replace(package.manifest, variants=(package.manifest.variant("fp32"),)))
    with pytest.raises(InputError, match=r"edgeau quantize .* --targets tensorrt"):
        make_bundle(bare, "any", MakeOptions(crops=str(crops_file)), tmp_path / "x.sh")
    assert not (tmp_path / "x.sh").exists()
    assert make_bundle(bare, "any", MakeOptions("fp32", crops=str(crops_file)), tmp_path / "x.sh").samples == 12


# A folder name that runs a command in any shell that evaluates it.
HOSTILE = "x$(touch HACKED)`touch HACKED`;touch HACKED;'\"touch HACKED\"' &.edgeau"


def renamed(package, name):
    """The package under another name, for its folder and in its manifest."""
    path = package.path.with_name(name)
    package.path.rename(path)
    moved = Package.open(path)
    return moved.with_manifest(dataclasses.replace(moved.manifest, name=name))


def test_hostile_names_are_never_evaluated_by_a_shell(package, crops_file, tmp_path, wheel, device):
    hostile = renamed(package, HOSTILE)
    options = MakeOptions(crops=str(crops_file), parity=False)
    bundle = make_bundle(hostile, "any", options, tmp_path / "run $(touch HACKED).sh", wheel=wheel).path
    device.install_tensorrt()
    outputs = [
        device.run("sh", bundle, "--help", check=True).stdout,
        device.run("sh", bundle, "--list", check=True).stdout,
        device.run("sh", bundle, input="n\n").stdout,
    ]
    built = device.run("sh", bundle, "--yes", "--again")
    assert built.returncode == 0, built.stderr
    assert list(device.home.rglob("HACKED")) == []
    assert not any("\x1b" in text for text in (*outputs, built.stdout, built.stderr))
    assert (device.home / "run $(touch HACKED)" / "report.json").is_file()


@pytest.mark.parametrize(("out", "folder"), [("bundle", "bundle.engine"), ("-o.sh", "-o"), ("a b.run", "a b")])
def test_a_bundle_unpacks_beside_itself_by_default(package, crops_file, device, wheel, out, folder):
    options = MakeOptions(crops=str(crops_file), parity=False)
    make_bundle(package, "any", options, device.home / out, wheel=wheel)
    device.run("sh", f"./{out}", input="n\n")
    assert (device.home / folder / "recipe.json").is_file()


def test_scripts_are_identical_for_every_package_except_for_the_checksum(
    package, crops_file, tmp_path, wheel, bundle, device
):
    other = make_bundle(
        renamed(package, HOSTILE), "any", MakeOptions("fp32", crops=str(crops_file)), tmp_path / "other.sh", wheel=wheel
    )
    stubs = [path.read_bytes().split(b"\nexec sh")[0].splitlines() for path in (bundle, other.path)]
    differing = [pair for pair in zip(*stubs) if pair[0] != pair[1]]
    assert [b"sha256sum" in line for line, _ in differing] == [True]
    device.run("sh", bundle, "--into", "one", input="n\n")
    device.run("sh", other.path, "--into", "two", input="n\n")
    assert (device.home / "one" / "install.sh").read_bytes() == (device.home / "two" / "install.sh").read_bytes()


def test_a_recipe_of_another_version_is_refused_with_a_hint(bundle, device):
    device.install_tensorrt()
    device.run("sh", bundle, "--into", "here", input="n\n")
    recipe = device.home / "here" / "recipe.json"
    recipe.write_text(recipe.read_text().replace('"version": 2', '"version": 1'))
    done = device.run("sh", bundle, "--into", "here", "--yes", "--again")
    assert done.returncode == 2
    assert "got version 1, expected 2; make the bundle again with the edgeau that installs it" in done.stderr


def test_a_recipe_is_decoded_strictly(bundle, device):
    device.run("sh", bundle, "--into", "here", input="n\n")
    recipe = device.home / "here" / "recipe.json"
    value = json.loads(recipe.read_text())
    assert read_recipe(recipe.parent).options.builder.workspace_mib == 64
    for change in ({"batch": [1, 1]}, {"workspace_mib": "64"}, {"dla_fallback": 7.0}, {"colour": "red"}):
        builder = {**value["options"]["builder"], **change}
        recipe.write_text(json.dumps({**value, "options": {**value["options"], "builder": builder}}))
        with pytest.raises(InputError):
            read_recipe(recipe.parent)
