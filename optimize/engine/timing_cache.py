"""The timing cache: what the builder measured on this device, so that the next build need not measure it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from edgeau.runtime.files import write_bytes

from .library import flavour


def cache_name(device: str, tensorrt: str) -> str:
    """File name of the cache of a device and a TensorRT version: timings of one mean nothing to another."""
    return f"{device}.trt{tensorrt}.timing"


def attach(trt: Any, config: Any, path: Optional[Path]) -> Optional[str]:
    """Give the builder the cache at ``path``, or an empty one to fill.

    Returns:
        Why the file was not used (it is of another TensorRT or device, or damaged); None if it was, or there is none.
    """
    if path is None or flavour(trt) == "tensorrt_rtx":
        # TensorRT for RTX keeps no timings: its calls do nothing, with a warning.
        return None
    old = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(old)
    if cache is not None and config.set_timing_cache(cache, False):
        return None
    fresh = config.create_timing_cache(b"")
    if fresh is not None:
        config.set_timing_cache(fresh, False)
    return f"timing cache {path} does not fit this device or TensorRT, so a new one was begun" if old else None


def keep(trt: Any, config: Any, path: Optional[Path]) -> None:
    """Write the builder's cache back, whole or not at all."""
    if path is None or flavour(trt) == "tensorrt_rtx":
        return
    cache = config.get_timing_cache()
    if cache is not None:
        write_bytes(path, bytes(cache.serialize()))
