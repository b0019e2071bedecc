"""What the chain costs, as a table for the terminal and as JSON."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.columns import aligned
from edgeau.benchmarks.provenance import provenance
from edgeau.benchmarks.records import read_records
from edgeau.optimize.engine.library import MODULE_VARIABLE
from edgeau.runtime.device import fingerprint
from edgeau.runtime.errors import InputError
from edgeau.runtime.machine import read_machine
from edgeau.runtime.machine_state import read_state

from .growth import Growth, Spread, UnitCost, costs, growths
from .measure import Chain
from .steps import OPTIMIZE_LIMIT_S

SCHEMA = "edgeau-chain-1"


def to_json(chain: Chain) -> dict[str, Any]:
    """Everything as plain values, with the machine."""
    return {
        "schema": SCHEMA,
        "points": [
            {
                **{key: getattr(each.point, key) for key in ("step", "name", "model", "batch", "count", "unit")},
                "words": list(each.point.words),
                "wall_s": [round(value, 4) for value in each.wall_s],
                "cpu_s": [round(value, 4) for value in each.cpu_s],
            }
            for each in chain.times
        ],
        "costs": [_finite(dataclasses.asdict(each)) for each in costs(chain.times)],
        "growth": [_finite(dataclasses.asdict(each)) for each in growths(chain.times, chain.macs)],
        "macs": dict(chain.macs),
        "absent": [dataclasses.asdict(each) for each in chain.absent],
        "tensorrt_module": tensorrt_module(),
        "yardstick_ms": list(chain.yardstick_ms),
        "interrupted": chain.interrupted,
        "device": fingerprint(),
        "machine": read_machine().to_json(),
        "state_after": read_state().to_json(),
        "provenance": dataclasses.asdict(provenance()),
    }


def read_chain(path: Path) -> dict[str, Any]:
    """A file that `edgeau bench chain -o` wrote. Raises InputError if it is another kind of file."""
    value = read_records(path)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        got = value.get("schema") if isinstance(value, dict) else None
        raise InputError(str(path), got=f"schema {got}", expected=SCHEMA, hint="type: edgeau bench chain -o FILE")
    return value


def lines(chain: Chain) -> list[str]:
    """Tables of times, of costs per unit and of growth, then what could not be timed."""
    if not chain.times:
        return absent_lines(chain)
    text = aligned([_time_row(each.point.name, each.wall_s, each.cpu_s) for each in chain.times], left=("command",))
    per_unit, growing = costs(chain.times), growths(chain.times, chain.macs)
    if per_unit:
        text += ["", *aligned([_cost_row(each) for each in per_unit], left=("step", "model", "per"))]
    if growing:
        text += ["", *aligned([_growth_row(each) for each in growing], left=("step", "along", "time of"))]
    if any(each.point.step == "optimize" for each in chain.times):
        text += ["", f"optimize ends when its order is settled, after {OPTIMIZE_LIMIT_S} s at the latest"]
    if any(each.point.step == "build" for each in chain.times):
        text += ["", f"build used the module {tensorrt_module()}"]
    text += ["", *absent_lines(chain)]
    if chain.interrupted:
        text.append("interrupted: the rounds until then are what is shown")
    return text


def tensorrt_module() -> str:
    """The Python module that builds engines here, if it is installed."""
    return os.environ.get(MODULE_VARIABLE) or "tensorrt"


def absent_lines(chain: Chain) -> list[str]:
    """What could not be timed, one line per reason."""
    names: dict[str, list[str]] = {}
    for each in chain.absent:
        names.setdefault(each.reason, []).append(each.name)
    return [f"not timed: {'; '.join(each)}: {reason}" for reason, each in names.items()]


def _time_row(name: str, wall_s: tuple[float, ...], cpu_s: tuple[float, ...]) -> dict[str, str]:
    return {
        "command": name,
        "rounds": str(len(wall_s)),
        "wall s": f"{np.median(wall_s):.2f}",
        "lowest to highest": f"{min(wall_s):.2f} to {max(wall_s):.2f}",
        "CPU s": f"{np.median(cpu_s):.2f}",
    }


def _cost_row(cost: UnitCost) -> dict[str, str]:
    return {
        "step": cost.step,
        "model": cost.model or "-",
        "batch": str(cost.batch or "-"),
        "per": cost.unit,
        "ms": f"{cost.each_s.median * 1e3:.1f}",
        "lowest to highest": f"{cost.each_s.low * 1e3:.1f} to {cost.each_s.high * 1e3:.1f}",
        "fixed s": f"{cost.fixed_s.median:.2f}",
    }


def _growth_row(growth: Growth) -> dict[str, str]:
    return {
        "step": growth.step,
        "along": growth.along,
        "time of": growth.of,
        "from s": f"{growth.from_s:.3g}",
        "to s": f"{growth.to_s:.3g}",
        "per doubling": _factor(growth.per_doubling),
    }


def _factor(value: Spread) -> str:
    if math.isnan(value.median):
        return "unknown"
    return f"x{value.median:.2f} ({value.low:.2f} to {value.high:.2f})"


def _finite(value: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: None."""
    return {
        key: _finite(each)
        if isinstance(each, Mapping)
        else None
        if isinstance(each, float) and math.isnan(each)
        else each
        for key, each in value.items()
    }
