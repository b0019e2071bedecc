"""One builder for TensorRT 8.5 to 11: an ONNX file in, a plan out.

    requires  an ONNX file whose graph holds all the arithmetic; INT8 as Q/DQ pairs in it (there is no calibrator)
    does      parse, set the profile, precision, memory, timing cache and DLA, build
    ensures   a plan, and a record of every setting

Precision is a flag where the network is weakly typed (8.5 to 10), and is in the graph where it is strongly typed (10
and 11). What the library can do is read off its names (``capabilities``), never off its version.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from edgeau.runtime.backends.tensorrt_log import Messages, listen
from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.files import PathLike
from edgeau.runtime.model_file import ModelFile, read_model_file
from edgeau.runtime.report import Report, silent

from . import timing_cache
from .capabilities import capabilities
from .dla import DLA_PRECISION, WHY_NO_INT8, DlaUse, count_fallback, use_dla
from .inner import expose
from .library import HOW_ON_DEVICE, BuildFailedError, bit, flavour, load_tensorrt, member, tactic_word, version
from .log import parser_errors
from .mixed import leave_grouped_in_float
from .progress import make_monitor, run_interruptibly
from .unread_axes import require_axes_read

MIB = 1 << 20


@dataclass(frozen=True)
class BuilderSettings:
    """What a user may set of the builder, whatever the precision.

    Attributes:
        batch: smallest, preferred and largest batch.
        workspace_mib: scratch memory that tactics may use, in MiB; None keeps TensorRT's own limit.
        optimization_level: 0 (fast build) to 5 (thorough); None keeps TensorRT's own.
        tactic_sources: names of TacticSource members; None keeps TensorRT's own choice.
        dla_core: build for this DLA core; None for the GPU.
        dla_fallback: largest share of layers, 0..1, that may fall back from DLA to the GPU.
    """

    batch: Tuple[int, int, int] = (1, 1, 1)
    workspace_mib: Optional[int] = None
    optimization_level: Optional[int] = None
    tactic_sources: Optional[Tuple[str, ...]] = None
    dla_core: Optional[int] = None
    dla_fallback: float = 0.5

    def __post_init__(self) -> None:
        smallest, preferred, largest = self.batch
        if not 1 <= smallest <= preferred <= largest:
            got = ",".join(map(str, self.batch))
            raise InputError("batch", got=got, expected="smallest,preferred,largest with 1 <= each <= the next")
        if not 0 <= self.dla_fallback <= 1:
            raise InputError("DLA fallback share", got=str(self.dla_fallback), expected="0 to 1")


@dataclass(frozen=True)
class BuildOptions:
    """How to build one ONNX file.

    Attributes:
        precision: ``int8`` and ``mixed`` need Q/DQ in the graph; ``fp16`` is a flag, or the graph's if strongly typed;
            ``fp32`` switches TF32 off, so that it is what it says.
        strongly_typed: take precision from the graph.
        float_grouped: leave grouped convolutions in float (the ``mixed`` rung of the ladder).
        expose: names of inner tensors that become outputs as well, to find where an engine goes wrong.
        timing_cache: file to read and write back; None for none.
        settings: what the user set.
    """

    precision: str = "fp32"
    strongly_typed: bool = False
    float_grouped: bool = False
    expose: Tuple[str, ...] = ()
    timing_cache: Optional[Path] = None
    settings: BuilderSettings = BuilderSettings()


@dataclass(frozen=True)
class BuiltEngine:
    """A plan and how it was built.

    Attributes:
        plan: the plan's bytes.
        tensorrt, flavour: version and family of the library that wrote it.
        inputs: [H, W, 3] by input name.
        layers: number of layers in the parsed network.
        fell_back: names of layers that run on the GPU although DLA was asked for.
        settings: of the builder, those that were set.
        warnings: TensorRT's, one line each.
        build_s: seconds that the build took.
    """

    plan: bytes
    tensorrt: str
    flavour: str
    inputs: Dict[str, List[int]]
    layers: int
    fell_back: Tuple[str, ...]
    settings: Dict[str, Any]
    warnings: Tuple[str, ...]
    build_s: float


@dataclass(frozen=True)
class Parsed:
    """A parsed network, and what must live as long as it."""

    network: Any
    builder: Any
    log: Messages


def build_engine(
    onnx: Union[PathLike, ModelFile],
    options: BuildOptions = BuildOptions(),
    *,
    trt: Any = None,
    report: Report = silent,
) -> BuiltEngine:
    """Build a plan from an ONNX file on this machine.

    Ctrl-C stops the build (at once from TensorRT 10 on) and raises KeyboardInterrupt; nothing was written by then.

    Args:
        onnx: the file's path, or its verified bytes (``Package.read``).
        options: how to build.
        trt: TensorRT's module; by default the installed one.
        report: gets lines of progress.

    Raises:
        InputError: no such file, or an option that this TensorRT doesn't have.
        BuildFailedError: TensorRT can't parse the graph or build it, or too many layers can't run on DLA; one line
            with the reason.
        EngineError: no TensorRT, or no GPU.
    """
    file = onnx if isinstance(onnx, ModelFile) else read_model_file(onnx)
    trt = load_tensorrt() if trt is None else trt
    log = listen(trt)
    builder = make_builder(trt, log)
    require_axes_read(trt, file)
    network = builder.create_network(_network_flags(trt, options))
    parse(trt, network, file, log)
    settings: Dict[str, Any] = {"strongly_typed": options.strongly_typed, "precision": options.precision}
    if options.float_grouped:
        settings["left_in_float"] = leave_grouped_in_float(trt, network)
    if options.expose:
        expose(network, options.expose)
    config = builder.create_builder_config()
    _set_precision(trt, config, options, settings)
    _set_limits(trt, config, options.settings, settings)
    inputs = _set_profile(builder, config, network, options.settings.batch)
    use = _set_dla(trt, builder, config, network, options, settings)
    settings["timing_cache_note"] = timing_cache.attach(trt, config, options.timing_cache)
    plan, build_s = _build(trt, builder, network, config, log, report)
    timing_cache.keep(trt, config, options.timing_cache)
    return BuiltEngine(
        plan=plan,
        tensorrt=version(trt),
        flavour=flavour(trt),
        inputs=inputs,
        layers=int(network.num_layers),
        fell_back=use.fell_back if use else (),
        settings={name: value for name, value in settings.items() if value is not None},
        warnings=tuple(log.warnings),
        build_s=build_s,
    )


def make_builder(trt: Any, log: Messages) -> Any:
    """TensorRT's builder. Raises EngineError where there is no usable GPU.

    Without a driver the constructor returns nothing, which the binding reports as a TypeError.
    """
    try:
        builder = trt.Builder(log.logger)
    except (TypeError, RuntimeError) as error:
        reason = log.errors[0] if log.errors else str(error)
        raise EngineError(
            f"TensorRT {version(trt)} can't build here, no usable CUDA device ({reason}); {HOW_ON_DEVICE}"
        ) from error
    if builder is None:
        raise EngineError(f"TensorRT {version(trt)} can't build here, no usable CUDA device; {HOW_ON_DEVICE}")
    return builder


def parse(trt: Any, network: Any, file: ModelFile, log: Messages) -> None:
    """Parse an ONNX file into the network. Raises BuildFailedError with each of the parser's errors and its node."""
    parser = trt.OnnxParser(network, log.logger)
    if parser.parse(file.data):
        return
    errors = parser_errors(parser) or log.errors or ["no reason given"]
    raise BuildFailedError(f"TensorRT {version(trt)} can't parse {file.path}: " + "; ".join(errors))


def _network_flags(trt: Any, options: BuildOptions) -> int:
    """Explicit batch and, if asked for, strong typing: each where it has a flag."""
    kinds = getattr(trt, "NetworkDefinitionCreationFlag", None)
    names = ["EXPLICIT_BATCH"] + (["STRONGLY_TYPED"] if options.strongly_typed else [])
    flags = [member(kinds, name) for name in names]
    return sum(bit(flag) for flag in flags if flag is not None)


def _set_precision(trt: Any, config: Any, options: BuildOptions, settings: Dict[str, Any]) -> None:
    """Set flags for a weakly typed network; a strongly typed one must have none."""
    if options.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.strongly_typed:
        return
    names = {"int8": ("INT8", "FP16"), "mixed": ("INT8", "FP16"), "fp16": ("FP16",)}.get(options.precision, ())
    missing = set(names) - capabilities(trt).precision_flags
    if missing:
        raise EngineError(
            f"TensorRT {version(trt)} has no flag {min(missing)}: precision must be in the graph, "
            "so build strongly typed from a file that has it"
        )
    for name in names:
        config.set_flag(getattr(trt.BuilderFlag, name))
    settings["flags"] = list(names)


def _set_limits(trt: Any, config: Any, options: BuilderSettings, settings: Dict[str, Any]) -> None:
    if options.workspace_mib is not None:
        size = options.workspace_mib * MIB
        if hasattr(config, "set_memory_pool_limit"):
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
        else:
            config.max_workspace_size = size
        settings["workspace_mib"] = options.workspace_mib
    if options.optimization_level is not None:
        if not hasattr(config, "builder_optimization_level"):
            raise InputError(
                "--level",
                got=str(options.optimization_level),
                expected="nothing",
                hint="TensorRT 8.5 has no such level",
            )
        config.builder_optimization_level = options.optimization_level
        settings["optimization_level"] = options.optimization_level
    if options.tactic_sources is not None:
        config.set_tactic_sources(tactic_word(trt, list(options.tactic_sources)))
        settings["tactic_sources"] = list(options.tactic_sources)
    verbosity = member(getattr(trt, "ProfilingVerbosity", None), "DETAILED")
    if verbosity is not None:
        # Costs nothing at run time and lets the engine inspector name layers with their precision.
        config.profiling_verbosity = verbosity


def _set_profile(builder: Any, config: Any, network: Any, batch: Tuple[int, int, int]) -> Dict[str, List[int]]:
    """One optimisation profile over the batch. Returns [H, W, 3] by input name."""
    profile = builder.create_optimization_profile()
    inputs: Dict[str, List[int]] = {}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = [int(side) for side in tensor.shape]
        if shape[0] not in (-1, batch[0]) or (shape[0] != -1 and batch[0] != batch[2]):
            raise InputError(
                f"batch of input {tensor.name}",
                got=",".join(map(str, batch)),
                expected=f"{shape[0]}, fixed in the ONNX",
            )
        if any(side < 0 for side in shape[1:]):
            raise InputError(f"input {tensor.name}", got=f"shape {shape}", expected="only the batch to be dynamic")
        inputs[str(tensor.name)] = shape[1:]
        profile.set_shape(tensor.name, *[(n, *shape[1:]) for n in batch])
    config.add_optimization_profile(profile)
    return inputs


def _set_dla(
    trt: Any, builder: Any, config: Any, network: Any, options: BuildOptions, settings: Dict[str, Any]
) -> Optional[DlaUse]:
    wish = options.settings
    if wish.dla_core is None:
        return None
    if options.precision != DLA_PRECISION:
        raise InputError("precision for DLA", got=options.precision, expected=DLA_PRECISION, hint=WHY_NO_INT8)
    use_dla(trt, builder, config, wish.dla_core, wish.batch)
    use = count_fallback(trt, network, config, wish.dla_fallback)
    settings.update(dla_core=wish.dla_core, dla_layers=use.layers, dla_gpu_share=round(use.gpu_share, 4))
    return use


def _build(trt: Any, builder: Any, network: Any, config: Any, log: Any, report: Report) -> Tuple[bytes, float]:
    cancelled = threading.Event()
    monitor = make_monitor(trt, report, cancelled)
    if monitor is not None:
        config.progress_monitor = monitor
    started = time.monotonic()
    serialized = run_interruptibly(
        lambda: builder.build_serialized_network(network, config), report, cancelled, ticks=monitor is None
    )
    if serialized is None:
        reason = "; ".join(log.errors[-3:]) or "no reason given"
        raise BuildFailedError(f"TensorRT {version(trt)} failed to build: {reason}")
    return bytes(serialized), time.monotonic() - started


def parsed(onnx: Union[PathLike, ModelFile], trt: Any, *, strongly_typed: bool) -> Parsed:
    """The network that TensorRT reads from an ONNX file, to look at. Raises EngineError."""
    log = listen(trt)
    builder = make_builder(trt, log)
    network = builder.create_network(_network_flags(trt, BuildOptions(strongly_typed=strongly_typed)))
    parse(trt, network, onnx if isinstance(onnx, ModelFile) else read_model_file(onnx), log)
    return Parsed(network, builder, log)
