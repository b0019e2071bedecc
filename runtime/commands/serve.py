"""Serve action units over HTTP: send an image, get the action units of the faces in it.

There is no authentication, so by default only this machine is served. Ctrl-C or SIGTERM finishes requests in progress.

example:
  edgeau serve
  curl --data-binary @photo.jpg http://127.0.0.1:8752/analyze
  edgeau serve -p cednn.edgeau --video --port 9000      successive frames of one camera
"""

from __future__ import annotations

import argparse
import errno
import ipaddress
import os
import signal
from pathlib import Path
from typing import Any

from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.terminal import EXIT_OK, note

MAX_PIXELS = 64 * 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--package", type=Path, help="a package (default: the shipped one)")
    parser.add_argument("--variant", help="variant to run (default: the best on this device)")
    parser.add_argument("--backend", help="backend to run it on")
    parser.add_argument("--threads", type=arguments.threads, help="CPU threads (default: the backend's choice)")
    parser.add_argument("--neutral", type=Path, metavar="IMAGE", help="the subject at rest, to compare every face with")
    parser.add_argument("--video", action="store_true", help="requests are successive frames of one camera")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=arguments.port, default=8752, help="0 picks a free port (default: %(default)s)")
    parser.add_argument(
        "--max-mb",
        type=arguments.number(0, 4096, above=True),
        default=10.0,
        help="largest image (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    # OpenCV reads this once; a small file that unpacks to gigabytes is refused.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    from edgeau.runtime import load
    from edgeau.runtime.images import read_image
    from edgeau.runtime.server import ServerOptions, stop

    if args.max_mb <= 0:
        raise InputError("--max-mb", got=f"{args.max_mb:g}", expected="more than 0")
    neutral = read_image(args.neutral) if args.neutral else None
    analyzer = load(
        args.package, variant=args.variant, backend=args.backend, threads=args.threads, neutral_image_bgr=neutral
    )
    options = ServerOptions(max_bytes=int(args.max_mb * 1e6), video=args.video)
    with analyzer, _listen(args.host, args.port, analyzer, options) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop(server))
        host, port = server.server_address[:2]
        note(f"{analyzer.manifest.name}: {analyzer.choice.variant} on {analyzer.choice.backend}")
        if not _is_loopback(args.host):
            note("listening beyond this machine, without authentication")
        note(f"listening on http://{host}:{port}, Ctrl-C ends")
        server.serve_forever(poll_interval=0.2)
        note("finishing what is under way")
    return EXIT_OK


def _listen(host: str, port: int, analyzer: Any, options: Any) -> Any:
    from edgeau.runtime.server import AnalysisServer

    try:
        return AnalysisServer((host, port), analyzer, options, note)
    except OverflowError as error:
        raise InputError("--port", got=str(port), expected="0 to 65535") from error
    except OSError as error:
        hint = "choose another with --port" if error.errno == errno.EADDRINUSE else None
        raise InputError(f"address {host}:{port}", got=error.strerror or str(error), hint=hint) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
