"""Building over ssh, with a real sshd on this machine."""

import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from edgeau.optimize.engine import remote
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.remote import build_on_host
from edgeau.runtime.cli import main
from edgeau.runtime.engine_check import describe_engine
from edgeau.runtime.engine_file import sidecar_path
from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.package import Package


class Server:
    """An sshd on a free port of 127.0.0.1 with its sessions in the bare device's home.

    Attributes:
        ssh: the command that connects to it with an authorized key.
    """

    def __init__(self, folder, device):
        self.folder, self.device = folder, device
        folder.mkdir()
        for name in ("host", "user", "stranger"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
            subprocess.run(command, check=True)
        shutil.copyfile(folder / "user.pub", folder / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        host_key = (folder / "host.pub").read_text()
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        self._write_config()
        self.ssh = self.command_with("user")

    def _write_config(self):
        lines = (
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host",
            "UsePAM no",
            f"AuthorizedKeysFile {self.folder}/authorized",
            "StrictModes no",
            "PasswordAuthentication no",
            f"PidFile {self.folder}/pid",
            f"SetEnv HOME={self.device.home} PYTHON={self.device.python}",
            "PermitRootLogin yes",
            "KbdInteractiveAuthentication no",
        )
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    def command_with(self, key):
        return (
            "ssh",
            "-F",
            "none",
            "-p",
            str(self.port),
            "-i",
            str(self.folder / key),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            f"UserKnownHostsFile={self.folder}/known",
        )

    def start(self):
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        self._log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen([program, "-D", "-e", "-f", self.folder / "config"], stderr=self._log)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError("sshd did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self._log.close()

    def left_behind(self, within_s=60.0):
        """Build folders that still exist on the device after a while."""
        until = time.monotonic() + within_s
        while time.monotonic() < until and list(self.device.home.glob(".edgeau-build-*")):
            time.sleep(0.05)
        return list(self.device.home.glob(".edgeau-build-*"))


@pytest.fixture
def server(tmp_path, device):
    """A running sshd."""
    if not (shutil.which("sshd") or Path("/usr/sbin/sshd").exists()) or not shutil.which("ssh"):
        pytest.skip("no sshd here; type: sudo apt-get install openssh-server openssh-client")
    running = Server(tmp_path / "sshd", device)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def options(crops_file):
    return MakeOptions(crops=str(crops_file), parity=False)


def test_engine_sidecar_and_report_come_back_and_nothing_is_left_behind(server, device, package, options):
    device.install_tensorrt("10.3")
    messages = []
    engine = build_on_host(package, "127.0.0.1", options, ssh=server.ssh, report=messages.append).engine
    assert describe_engine(engine.path).intact is True
    assert engine.sidecar.tensorrt == "10.3.0.1"
    assert engine.package.manifest.variant(engine.variant.name).backends == ("tensorrt",)
    report = json.loads((engine.path.parent / f"{engine.variant.name}.report.json").read_text())
    assert report["sidecar"]["engine_sha256"] == engine.sidecar.engine_sha256
    assert any("building int8 from int8-tensorrt.onnx" in line for line in messages)
    assert server.left_behind() == []


def test_a_host_without_tensorrt_is_reported(server, package, options):
    with pytest.raises(EngineError, match=r"no engine was built on 127\.0\.0\.1: .*no tensorrt.*python3-libnvinfer"):
        build_on_host(package, "127.0.0.1", options, ssh=server.ssh)
    assert server.left_behind() == []
    assert not (package.path / "engines").exists()


def test_an_unknown_key_is_a_one_line_error_with_a_hint(server, package, options):
    with pytest.raises(EngineError, match=r"Permission denied.*ssh-copy-id 127\.0\.0\.1") as caught:
        build_on_host(package, "127.0.0.1", options, ssh=server.command_with("stranger"))
    assert "\n" not in str(caught.value)


def test_a_refused_connection_is_reported(package, options):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(EngineError, match=r"no connection to 127\.0\.0\.1: .*refused"):
        build_on_host(package, "127.0.0.1", options, ssh=("ssh", "-F", "none", "-p", str(port)))


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch x", "a b"])
def test_an_invalid_host_name_is_refused(package, options, host):
    with pytest.raises(InputError, match="--host"):
        build_on_host(package, host, options)


def slow_tensorrt(device, started):
    """Install a TensorRT whose import takes a minute and creates the file ``started`` first."""
    device.install_tensorrt()
    module = device.home / "deps" / "tensorrt.py"
    wait = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(60)\n"
    module.write_text(wait + module.read_text())


def sessions_of(server):
    """The process ids of the sshd's children."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid for pid, parent in pairs if parent == server.process.pid]


def test_a_lost_connection_is_reported_and_the_device_cleans_up(server, device, package, options, tmp_path):
    started = tmp_path / "started"
    slow_tensorrt(device, started)

    def cut():
        while not started.exists():
            time.sleep(0.05)
        for pid in sessions_of(server):
            os.kill(pid, signal.SIGKILL)

    cutter = threading.Thread(target=cut, daemon=True)
    cutter.start()
    with pytest.raises(EngineError, match=r"connection to 127\.0\.0\.1 was lost"):
        build_on_host(package, "127.0.0.1", options, ssh=server.ssh)
    cutter.join(60)
    assert server.left_behind() == []
    assert not (package.path / "engines").exists()


def test_ctrl_c_cleans_up_on_the_device(server, device, package, options, tmp_path, interruptible_edgeau):
    started = tmp_path / "started"
    slow_tensorrt(device, started)
    command = [
        *interruptible_edgeau,
        "build",
        package.path,
        "--host",
        "127.0.0.1",
        "--ssh",
        " ".join(server.ssh),
        "--crops",
        options.crops,
        "--skip-parity",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 90
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted; nothing half-written was left behind" in stderr
    assert server.left_behind() == []


def test_a_full_disk_on_the_device_is_reported(server, device, package, options):
    head = device.home / "bin" / "head"
    head.parent.mkdir()
    head.write_text("#!/bin/sh\necho 'head: write error: No space left on device' >&2\nexit 1\n")
    head.chmod(0o755)
    config = server.folder / "config"
    lines = config.read_text().replace("SetEnv ", f"SetEnv PATH={head.parent}:{os.environ['PATH']} ")
    config.write_text(lines)
    server.stop()
    server.start()
    with pytest.raises(EngineError, match=r"did not arrive whole .*is the disk full\? \d+ KiB are free"):
        build_on_host(package, "127.0.0.1", options, ssh=server.ssh)
    assert server.left_behind() == []


@pytest.mark.parametrize(
    "name", ["plain", "two words.edgeau", 'it\'s "quoted".edgeau', "x$(touch HACKED).edgeau", "-o"]
)
def test_any_package_folder_name_works_and_is_never_evaluated(server, device, package, options, name, tmp_path):
    device.install_tensorrt()
    package.path.rename(tmp_path / name)
    engine = build_on_host(Package.open(tmp_path / name), "127.0.0.1", options, ssh=server.ssh).engine
    assert describe_engine(engine.path).intact is True
    assert list(device.home.rglob("HACKED")) == []
    assert server.left_behind() == []


def test_build_accepts_the_current_folder_as_package(server, device, package, options, monkeypatch, capsys):
    device.install_tensorrt()
    monkeypatch.chdir(package.path)
    ssh = shlex.join(server.ssh)
    command = ["build", ".", "--host", "127.0.0.1", "--ssh", ssh, "--crops", options.crops, "--skip-parity", "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert describe_engine(package.path / "engines" / Path(report["engine"]).name).intact is True


def test_escape_sequences_from_the_device_do_not_reach_the_terminal(server, device, package, options):
    device.install_tensorrt()
    module = device.home / "deps" / "tensorrt.py"
    module.write_text("import sys\nprint('\\x1b[31mred\\x07', file=sys.stderr)\n" + module.read_text())
    messages = []
    build_on_host(package, "127.0.0.1", options, ssh=server.ssh, report=messages.append)
    assert not any("\x1b" in line or "\x07" in line for line in messages)


def test_endless_lines_from_the_device_are_cut(package, options):
    """The device sends eight megabytes without a line feed."""
    ssh = ("sh", "-c", "head -c 8000000 /dev/zero | tr '\\0' x >&2; exit 3")
    messages = []
    with pytest.raises(EngineError, match=r"no engine was built on device: x{100}") as caught:
        build_on_host(package, "device", options, ssh=ssh, report=messages.append)
    assert max(map(len, [*messages, str(caught.value)])) < 5000


def test_an_endless_answer_is_refused(package, options, monkeypatch):
    monkeypatch.setattr(remote, "MOST_ANSWER_BYTES", 1 << 20)
    with pytest.raises(EngineError, match=r"nothing was taken from device: it sent more than 1 MB"):
        build_on_host(package, "device", options, ssh=("sh", "-c", "yes"))


def test_an_answer_that_cannot_be_written_raises(package, options, monkeypatch):
    """/dev/full answers every write with ENOSPC."""
    monkeypatch.setattr(remote, "_Receiver", lambda session, _, made=remote._Receiver: made(session, Path("/dev/full")))
    with pytest.raises(EngineError, match=r"could not be written here \(No space left on device\)"):
        build_on_host(package, "device", options, ssh=("sh", "-c", "yes | head -c 100000"))


def test_an_archive_member_larger_than_the_archive_is_ignored(package, options, tmp_path):
    """GNU tar writes a sparse file of a terabyte as an archive of three blocks."""
    (tmp_path / "x.engine").touch()
    os.truncate(tmp_path / "x.engine", 1 << 40)
    subprocess.run(["tar", "-C", tmp_path, "--format=gnu", "-Scf", tmp_path / "a.tar", "x.engine"], check=True)
    with pytest.raises(EngineError, match="device sent no engine with a sidecar"):
        build_on_host(package, "device", options, ssh=("sh", "-c", f"cat {shlex.quote(str(tmp_path / 'a.tar'))}"))


@pytest.fixture
def answer(tmp_path):
    """A function that makes the ssh command of a device which answers with the given files."""

    def make(files):
        archive = tmp_path / "answer.tar"
        with tarfile.open(archive, "w") as tar:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        script = tmp_path / "ssh.sh"
        script.write_text(f"echo edgeau-remote-ready >&2\ncat {shlex.quote(str(archive))}\n")
        return ("sh", str(script))

    return make


@pytest.fixture
def good_answer(server, device, package, options):
    """The name and files of a real answer."""
    device.install_tensorrt()
    engine = build_on_host(package, "127.0.0.1", options, ssh=server.ssh).engine
    folder = engine.path.parent
    files = {
        "report.json": (folder / f"{engine.variant.name}.report.json").read_bytes(),
        f"toy.edgeau/engines/{engine.path.name}": engine.path.read_bytes(),
        f"toy.edgeau/engines/{engine.path.name}.json": sidecar_path(engine.path).read_bytes(),
    }
    shutil.rmtree(folder)
    package.with_manifest(package.manifest)
    return engine.path.name, files


def test_a_hostile_answer_changes_nothing(answer, good_answer, package, options):
    name, files = good_answer
    report, plan, sidecar = files
    known = json.loads(files[sidecar])
    hostile = {
        "no report": {key: data for key, data in files.items() if key != report},
        "report of another shape": {**files, report: b'{"engine": "x.engine"}'},
        "latency that is no number": {
            **files,
            report: json.dumps({**json.loads(files[report]), "latency": {"p50_ms": "\x1b"}}).encode(),
        },
        "deep JSON": {**files, report: b"[" * 100_000},
        "altered plan": {**files, plan: files[plan] + b"!"},
        "unknown precision": {**files, sidecar: json.dumps({**known, "precision": "int4"}).encode()},
        "sidecar of another shape": {**files, sidecar: b"{}"},
        "engine with a name of its own": {
            report: files[report].replace(name.encode(), b"$(x).engine"),
            "$(x).engine": files[plan],
            "$(x).engine.json": files[sidecar],
        },
        "no archive": None,
    }
    before = (package.path / "manifest.json").read_bytes()
    for what, sent in hostile.items():
        ssh = answer(sent) if sent is not None else ("sh", "-c", "echo hello")
        with pytest.raises(EngineError) as caught:
            build_on_host(package, "device", options, ssh=ssh)
        assert "\n" not in str(caught.value), what
        assert (package.path / "manifest.json").read_bytes() == before, what
        assert not list(package.path.rglob("*.engine*")), what
    # The unchanged answer is accepted, so each refusal above has its own reason.
    assert build_on_host(package, "device", options, ssh=answer(files)).engine.path.name == name
