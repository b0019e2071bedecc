"""What TensorRT for RTX's ONNX importer says about a file, as a record."""

from __future__ import annotations

from typing import Any

import onnx

from edgeau.optimize.lint.importer import ask_importer


def importer_warnings(model: onnx.ModelProto) -> dict[str, Any]:
    """Whether a file parses, the number of warnings, and the text of each distinct warning and error.

    ``parsed`` and ``warnings`` are None if tensorrt-rtx is not installed.
    """
    verdict = ask_importer(model)
    if verdict is None:
        return {"parsed": None, "warnings": None, "texts": ["tensorrt-rtx is not installed"]}
    lines = (*verdict.warnings, *([verdict.error] if verdict.error else []))
    return {
        "parsed": verdict.taken,
        "warnings": len(verdict.warnings),
        "uint8_warnings": sum("UINT8" in text for text in verdict.warnings),
        "texts": sorted({text.strip().splitlines()[0][:200] for text in lines}),
    }
