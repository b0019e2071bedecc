"""Fakes of TensorRT made from its real names: a version's classes have the members of its bindings and no others.

Needs nothing but the standard library, so that it can stand in for ``tensorrt`` in a bare interpreter as well.
"""

from types import SimpleNamespace

SIDE = 32


class Behaviour(SimpleNamespace):
    """What a fake does: ``fail`` (flags set -> error or None), ``dla_cores``, ``off_dla`` (layer names), ``gpu``."""

    def __init__(self, **given):
        defaults = {
            "fail": lambda flags, layers: None,
            "dla_cores": 0,
            "off_dla": (),
            "gpu": True,
            "parser_errors": (),
            "cache_fits": True,
        }
        super().__init__(**{**defaults, **given})


class Strict:
    """Refuses every name that the version's class lacks, for reading and for writing."""

    _names: frozenset = frozenset()

    def __getattribute__(self, name):
        if not name.startswith("_") and name not in type(self)._names:
            raise AttributeError(f"{type(self).__name__} of this version has no {name}")
        return super().__getattribute__(name)

    def __setattr__(self, name, value):
        if not name.startswith("_") and name not in type(self)._names:
            raise AttributeError(f"{type(self).__name__} of this version has no {name}")
        super().__setattr__(name, value)


def enumeration(name, members):
    import enum

    return enum.IntEnum(name, {member: number for number, member in enumerate(members)})


def make_fake(version, names, behaviour):
    """A module-like object whose classes are built from ``names`` (class -> members)."""
    trt = SimpleNamespace(__name__="tensorrt", __version__=f"{version}.0.1")
    enums = (
        "BuilderFlag",
        "NetworkDefinitionCreationFlag",
        "MemoryPoolType",
        "TacticSource",
        "DeviceType",
        "LayerType",
    )
    for name in (*enums, "ProfilingVerbosity"):
        setattr(trt, name, enumeration(name, names[name]))

    def strict(name, **members):
        allowed = frozenset(names[name])
        unknown = {m for m in members if not m.startswith("_")} - allowed
        body = {key: value for key, value in members.items() if key not in unknown}
        return type(name, (Strict,), {**body, "_names": allowed})

    # The names come from the bindings' own class table, in which the logger's interface is not listed; all have it.
    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    trt.ILogger = ILogger
    record = SimpleNamespace(flags=set(), profiles=[], limits={}, network_flags=None, cache_given=None, config=None)
    record.exposed = []
    trt.record = record

    tensor = strict("ITensor")

    def make_tensor(name, shape=()):
        made = tensor()
        made.__dict__.update(name=name, shape=shape, is_network_output=False)
        return made

    class Layer(strict("ILayer")):
        def __init__(self, name, kind, inputs, groups=1):
            self.__dict__.update(name=name, type=kind, num_inputs=len(inputs), num_outputs=1)
            self._inputs, self._output = list(inputs), make_tensor(f"{name}_out")
            self._groups = groups

        def get_input(self, index):
            return self._inputs[index]

        def get_output(self, index):
            return self._output

        def set_input(self, index, value):
            self._inputs[index] = value

    trt.IConvolutionLayer = type(
        "IConvolutionLayer",
        (Layer,),
        {"num_groups": property(lambda self: self._groups), "_names": Layer._names | set(names["IConvolutionLayer"])},
    )
    face = make_tensor("face", (-1, SIDE, SIDE, 3))
    kinds = trt.LayerType
    layers = []

    def parsed_layers():
        cast = Layer("cast", kinds.SHUFFLE, [face])
        quantize = Layer("q", kinds.QUANTIZE, [cast.get_output(0)])
        dequantize = Layer("dq", kinds.DEQUANTIZE, [quantize.get_output(0)])
        conv = Layer("conv", kinds.CONVOLUTION, [dequantize.get_output(0)], groups=4)
        return [cast, quantize, dequantize, conv]

    network_class = strict(
        "INetworkDefinition",
        num_inputs=1,
        num_layers=len(parsed_layers()),
        get_input=lambda self, index: face,
        get_layer=lambda self, index: layers[index],
        mark_output=lambda self, tensor: record.exposed.append(tensor.name),
    )

    def set_timing_cache(self, cache, ignore_mismatch):
        record.cache_given = cache
        return behaviour.cache_fits or not cache._data

    def cache_init(self, data):
        self._data = data

    cache_class = strict("ITimingCache", __init__=cache_init, serialize=lambda self: b"timings")
    config_class = strict(
        "IBuilderConfig",
        set_flag=lambda self, flag: record.flags.add(flag.name),
        clear_flag=lambda self, flag: record.flags.discard(flag.name),
        set_memory_pool_limit=lambda self, pool, size: record.limits.update({pool.name: size}),
        set_tactic_sources=lambda self, word: record.limits.update(tactics=word),
        add_optimization_profile=lambda self, profile: record.profiles.append(profile._shapes),
        create_timing_cache=lambda self, data: cache_class(data),
        set_timing_cache=set_timing_cache,
        get_timing_cache=lambda self: record.cache_given,
        builder_optimization_level=3,
        can_run_on_DLA=lambda self, layer: layer.name not in behaviour.off_dla,
    )

    class Profile(strict("IOptimizationProfile")):
        def __init__(self):
            self._shapes = {}

        def set_shape(self, name, smallest, preferred, largest):
            self._shapes[name] = (smallest, preferred, largest)

    def create_network(self, flags):
        record.network_flags = flags
        layers[:] = parsed_layers()
        return network_class()

    def create_builder_config(self):
        record.flags.clear()
        record.config = config_class()
        return record.config

    def build(self, network, config):
        reason = behaviour.fail(frozenset(record.flags), layers)
        if reason:
            self._log.log(ILogger.ERROR, reason)
            return None
        numbers = [int(part) for part in trt.__version__.split(".")]
        return b"ftrt" + bytes(20) + bytes(numbers[:4]) + b"plan"

    def builder_init(self, log):
        if not behaviour.gpu:
            log.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._log = log

    trt.Builder = strict(
        "Builder",
        __init__=builder_init,
        num_DLA_cores=behaviour.dla_cores,
        create_network=create_network,
        create_builder_config=create_builder_config,
        create_optimization_profile=lambda self: Profile(),
        build_serialized_network=build,
    )

    def error(node, text):
        made = strict("ParserError", node=lambda self: node, desc=lambda self: text, node_name=lambda self: "n7")
        return made()

    def parser_init(self, network, log):
        pass

    trt.OnnxParser = strict(
        "OnnxParser",
        __init__=parser_init,
        parse_from_file=lambda self, path: not behaviour.parser_errors,
        num_errors=len(behaviour.parser_errors),
        get_error=lambda self, index: error(*behaviour.parser_errors[index]),
    )
    # hasattr on the class itself must say what the version has.
    for member in names["OnnxParser"]:
        if not member.startswith("_") and not hasattr(trt.OnnxParser, member):
            setattr(trt.OnnxParser, member, None)
    if "IProgressMonitor" in names:
        trt.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})
    return trt
