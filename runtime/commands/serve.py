"""Serve action units over HTTP: send a picture, get the action units of the faces in it.

http://127.0.0.1:8752/ shows them live, from a camera, a clip or a picture. There is no authentication, so by default
only this machine is served. Ctrl-C or SIGTERM finishes requests in progress.

example:
  edgeau serve
  curl --data-binary @photo.jpg http://127.0.0.1:8752/analyze
  edgeau serve -p cednn.edgeau --video --port 9000      successive frames of one camera
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List

from edgeau.runtime import arguments
from edgeau.runtime.errors import MissingExtraError
from edgeau.runtime.terminal import EXIT_OK, note

if TYPE_CHECKING:
    from edgeau.runtime.serving.workers import AnyAnalyzer

MEGA = 1e6
# A worker gives up the interpreter in each call of OpenCV and of a backend, many of which are shorter than the 5 ms
# that it would wait by default to get it back from another.
_SWITCH_S = 0.0005


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--package", type=Path, help="a package (default: the shipped one)")
    parser.add_argument("--variant", help="variant to run (default: the best on this device)")
    parser.add_argument("--backend", help="backend to run it on")
    parser.add_argument("--neutral", type=Path, metavar="IMAGE", help="the subject at rest, to compare every face with")
    parser.add_argument("--video", action="store_true", help="requests are successive frames of one camera")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=arguments.port, default=8752, help="0 picks a free port (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=arguments.whole(1, 256),
        help="pictures that are analysed at the same time (default: one per CPU core; one on a GPU)",
    )
    parser.add_argument(
        "--processes",
        action="store_true",
        help="each worker is a process of its own: for many clients or cores, and about 70 MB more per worker",
    )
    parser.add_argument("--threads", type=arguments.threads, help="CPU threads of each worker (default: 1)")
    parser.add_argument(
        "--max-batch", type=arguments.whole(1, 1024), default=8, help="requests per call (default: %(default)s)"
    )
    parser.add_argument(
        "--max-mb",
        type=arguments.number(0, 4096, above=True),
        default=10.0,
        help="largest request (default: %(default)s)",
    )
    parser.add_argument(
        "--max-megapixels",
        type=arguments.number(0, 1024, above=True),
        default=25.0,
        help="largest picture, decoded (default: %(default)s)",
    )
    parser.add_argument(
        "--max-connections",
        type=arguments.whole(1, 65536),
        default=256,
        help="open at the same time; more get 503 (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout", type=arguments.seconds, default=30.0, help="seconds for a whole request (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    # OpenCV reads this once. The header is checked before; this holds where a picture contradicts it.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(int(args.max_megapixels * MEGA)))
    try:
        from edgeau.runtime.serving.app import Service
        from edgeau.runtime.serving.listen import AnalysisServer, listening_socket
        from edgeau.runtime.serving.options import ServerOptions
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgeau"):
            raise
        raise MissingExtraError(error.name.split(".")[0], "serve", "`edgeau serve`") from error

    sys.setswitchinterval(_SWITCH_S)
    # It warns of every body that is no form; the client is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    options = ServerOptions(
        max_bytes=int(args.max_mb * MEGA),
        max_pixels=int(args.max_megapixels * MEGA),
        max_connections=args.max_connections,
        timeout_s=args.timeout,
        max_batch=args.max_batch,
        video=args.video,
    )
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listening_socket(args.host, args.port))
        analyzers = _load(args, options.sessions, stack)
        service = Service(analyzers, options, note)
        server = AnalysisServer(listener, service, options, lambda: note("finishing requests in progress"))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, server.stop)
        choice = analyzers[0].choice
        kind = "processes" if args.processes else "workers"
        note(f"{analyzers[0].manifest.name}: {choice.reading}, {kind}: {len(analyzers)}")
        if not _is_loopback(args.host):
            note("listening beyond this machine, without authentication")
        host, port = server.address
        note(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}, Ctrl-C ends")
        server.run()
    return EXIT_OK


def _load(args: argparse.Namespace, sessions: int, stack: contextlib.ExitStack) -> List[AnyAnalyzer]:
    """An analyzer for each worker."""
    from edgeau.runtime import load
    from edgeau.runtime.images import read_image
    from edgeau.runtime.serving.process import ProcessAnalyzer

    arguments_of_load: Dict[str, Any] = {
        "package": args.package,
        "variant": args.variant,
        "backend": args.backend,
        "threads": args.threads or 1,
        "neutral_image_bgr": read_image(args.neutral) if args.neutral else None,
    }

    def open_one() -> AnyAnalyzer:
        if args.processes:
            return stack.enter_context(ProcessAnalyzer(arguments_of_load, sessions))
        return stack.enter_context(load(**arguments_of_load))

    first = open_one()
    on_gpu = first.choice.backend == "tensorrt"
    workers = args.workers or (1 if on_gpu else len(os.sched_getaffinity(0)))
    if workers > 1:
        import cv2

        cv2.setNumThreads(1)  # the workers are the threads
    return [first, *(open_one() for _ in range(workers - 1))]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
