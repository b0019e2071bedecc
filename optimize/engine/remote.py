"""Building on a device over ssh: the bundle goes there, progress, engine, sidecar and report come back.

One ssh session does all of it, with the system's ``ssh`` and therefore its keys, agent and configuration. The far side
works in a folder of its own and removes it in any case: at the end, on an error, and when this side goes away.

What comes back is the answer of another machine: only files with plain names are taken, and each is decoded and
compared with its hash before it enters the package.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import tarfile
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Deque, Dict, Optional, Sequence, Tuple

from edgeau.runtime.engine_file import read_sidecar, sidecar_path
from edgeau.runtime.errors import EdgeauError, EngineError, InputError
from edgeau.runtime.files import PathLike, sha256_file, write_bytes
from edgeau.runtime.manifest import PRECISIONS
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report, silent
from edgeau.runtime.terminal import printable

from .bundle import ANY, make_bundle
from .device_report import REPORT, DeviceReport, read_report, write_report
from .job import ENGINES, MakeOptions
from .names import is_safe_file_name
from .store import StoredEngine, store_engine

READY = "edgeau-remote-ready"
_SSH_FAILED = 255
_PATIENCE_S = 20.0
# Engines of the largest of these networks are a hundred times smaller.
MOST_ANSWER_BYTES, _PART_BYTES = 4 << 30, 1 << 20
_LONGEST_LINE, _MOST_LINES = 4096, 1000  # that are kept of what the other side says
_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5", "-T")


@dataclass(frozen=True)
class FetchedEngine:
    """An engine that was built on a device.

    Attributes:
        engine: in the package here.
        report: the device's, also beside the engine as ``NAME.report.json``.
    """

    engine: StoredEngine
    report: DeviceReport


def build_on_host(
    package: Package,
    host: str,
    options: MakeOptions,
    *,
    source: Optional[Package] = None,
    wheel: Optional[PathLike] = None,
    ssh: Sequence[str] = ("ssh",),
    report: Report = silent,
) -> FetchedEngine:
    """Build an engine on another machine and fetch it into the package.

    Args:
        package: gets the engine.
        host: as ssh takes it, such as ``user@jetson``.
        options: what to build there.
        source: where the ONNX variants are taken from; by default ``package``.
        wheel: edgeau's wheel; by default one of the edgeau that is running.
        ssh: the command, with options where ssh's own configuration doesn't have them.
        report: gets lines of progress, the device's included.

    Raises:
        InputError: the host is no host name.
        EngineError: no connection, a connection that was lost, a full disk there, or a build that failed there; one
            line that says which. Nothing is left on the device.
    """
    if not host or host.startswith("-") or any(letter.isspace() for letter in host):
        raise InputError("--host", got=repr(host), expected="user@jetson")
    with tempfile.TemporaryDirectory(prefix="edgeau-remote-") as work:
        folder = Path(work)
        bundle = make_bundle(source or package, ANY, options, folder / "bundle.sh", wheel=wheel)
        report(f"sending {bundle.size_bytes / 1e6:.1f} MB to {host}")
        archive = folder / "answer.tar"
        _converse(host, ssh, bundle.path, archive, report)
        return _take(package, host, archive, folder)


def _converse(host: str, ssh: Sequence[str], bundle: Path, archive: Path, report: Report) -> None:
    """The session: send the bundle, pass progress on, receive the archive. Raises EngineError."""
    script = (Path(__file__).parent / "remote.sh").read_text(encoding="utf-8")
    script = script.replace("@SIZE@", str(bundle.stat().st_size)).replace("@READY@", READY)
    command = [*ssh, *_OPTIONS, "--", host, f"exec sh -c {shlex.quote(script)}"]
    pipe = subprocess.PIPE
    try:
        # A session of its own, so that Ctrl-C reaches this process alone and ssh ends in order.
        session = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    except OSError as error:
        hint = "type: sudo apt-get install openssh-client"
        raise EngineError(f"{ssh[0]} can't be started ({error.strerror}); {hint}") from error
    assert session.stdin is not None
    assert session.stdout is not None
    assert session.stderr is not None
    sender = threading.Thread(target=_send, args=(bundle, session.stdin), daemon=True)
    sender.start()
    receiver = _Receiver(session, archive)
    receiver.start()
    try:
        ready, lines = _listen(session.stderr, report)
        code = session.wait()
    finally:
        _end(session)
        receiver.join(_PATIENCE_S)
        if receiver.is_alive():  # something that ssh started still holds the pipe
            _kill(session)
            receiver.join(_PATIENCE_S)
            receiver.problem = receiver.problem or "its answer did not end"
    if receiver.problem is not None:
        raise EngineError(f"nothing was taken from {host}: {receiver.problem}")
    if code:
        raise EngineError(_why(host, code, ready, lines))


class _Receiver(threading.Thread):
    """Writes what a session sends into a file, and ends a session that sends too much.

    Attributes:
        problem: why the file is not whole; None if it is, as far as this side can tell.
    """

    def __init__(self, session: Any, archive: Path) -> None:
        super().__init__(daemon=True)
        self.problem: Optional[str] = None
        self._session, self._archive = session, archive

    def run(self) -> None:
        size = 0
        try:
            with open(self._archive, "wb") as file:
                for part in iter(lambda: self._session.stdout.read(_PART_BYTES), b""):
                    size += len(part)
                    if size > MOST_ANSWER_BYTES:
                        self.problem = f"it sent more than {MOST_ANSWER_BYTES / 1e6:.0f} MB"
                        break
                    file.write(part)
        except OSError as error:
            self.problem = f"it could not be written here ({error.strerror})"
        except Exception as error:  # noqa: BLE001 - told to the thread that waits for this one
            self.problem = f"it could not be taken ({type(error).__name__}: {error})"
        if self.problem is not None:
            _kill(self._session)


def _kill(session: Any) -> None:
    """End a session with what ssh may have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session.pid, signal.SIGKILL)


def _send(bundle: Path, pipe: IO[bytes]) -> None:
    """Send the bundle and leave the pipe open: its end tells the far side that this side is gone."""
    with contextlib.suppress(OSError, ValueError):
        pipe.write(bundle.read_bytes())
        pipe.flush()


def _listen(pipe: IO[bytes], report: Report) -> Tuple[bool, Sequence[str]]:
    """Pass lines on until the session ends. Returns whether the far side's script began, and the last lines."""
    ready = False
    lines: Deque[str] = collections.deque(maxlen=_MOST_LINES)
    for raw in iter(lambda: pipe.readline(_LONGEST_LINE), b""):
        line = printable(raw.decode("utf-8", "replace")).rstrip()
        if line == READY:
            ready = True
        elif line:
            lines.append(line)
            report(f"  {line}")
    return ready, lines


def _end(session: Any) -> None:
    """Close our end, which makes the far side clean up, and wait for ssh to go."""
    with contextlib.suppress(OSError):
        session.stdin.close()
    try:
        session.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        session.kill()
        session.wait()
    session.stderr.close()


def _why(host: str, code: int, ready: bool, lines: Sequence[str]) -> str:
    """What went wrong, in one line."""
    last = lines[-1] if lines else "no reason given"
    if code == _SSH_FAILED and not ready:
        hint = f"`ssh {shlex.quote(host)}` must work without a password (ssh-copy-id {shlex.quote(host)})"
        return f"no connection to {host}: {last}; {hint}"
    if code == _SSH_FAILED or code < 0:
        return f"the connection to {host} was lost ({last}); the device removes what it was sent; run the command again"
    reasons = [line for line in lines if line.startswith(("edgeau:", "install.sh:", "bundle.sh:"))]
    reason = reasons[-1].split(":", 1)[1].strip() if reasons else last
    return f"no engine was built on {host}: {reason}"


def _take(package: Package, host: str, archive: Path, folder: Path) -> FetchedEngine:
    """Put what came back into the package, once it is whole. Raises EngineError."""
    files = _unpack(host, archive, folder / "answer")
    try:
        report = read_report(files[REPORT])
        plan = files[Path(report.engine).name]
        sidecar = read_sidecar(plan)
    except (KeyError, EdgeauError) as error:
        raise EngineError(f"what came back from {host} is not complete ({error}); run the command again") from error
    if sha256_file(plan) != sidecar.engine_sha256:
        raise EngineError(f"the engine from {host} was altered on its way; run the command again")
    if sidecar.precision not in PRECISIONS or plan.suffix != ".engine":
        raise EngineError(f"{host} sent {plan.name} of precision {sidecar.precision!r}, which edgeau doesn't build")
    for file in files.values():
        if file.suffix == ".timing":
            write_bytes(package.path / ENGINES / file.name, file.read_bytes())
    stored = store_engine(package, sidecar, plan)
    write_report(package.path / ENGINES / f"{stored.variant.name}.report.json", report)
    return FetchedEngine(dataclasses.replace(stored, skipped=report.skipped), report)


def _unpack(host: str, archive: Path, target: Path) -> Dict[str, Path]:
    """Write the archive's plain files side by side, by the last part of their names only, and return them by name."""
    target.mkdir()
    files: Dict[str, Path] = {}
    most_bytes = archive.stat().st_size  # a sparse file may claim to be of any size
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                name = Path(member.name).name
                plain = member.isfile() and member.size <= most_bytes and is_safe_file_name(name)
                data = tar.extractfile(member) if plain else None
                if data is not None:
                    path = target / name
                    path.write_bytes(data.read())
                    files[path.name] = path
    except tarfile.TarError as error:
        raise EngineError(f"what came back from {host} is not complete ({error}); run the command again") from error
    if not any(sidecar_path(path).name in files for path in files.values()):
        raise EngineError(f"{host} sent no engine with a sidecar; run the command again")
    return files
