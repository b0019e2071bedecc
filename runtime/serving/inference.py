"""The Open Inference Protocol, version 2, over HTTP: a model is the package, a request a batch of crops.

https://github.com/kserve/open-inference-protocol, with the extension for binary tensors of NVIDIA Triton and its
clients (https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from edgeau.runtime.decode import parse_json
from edgeau.runtime.errors import InputError, PackageError
from edgeau.runtime.manifest import InputSpec, Manifest
from edgeau.runtime.version import __version__

from .workers import Crops

VERSION = "1"
"""The only version of the model."""
HEADER_LENGTH = "Inference-Header-Content-Length"
_INPUT_TYPE, _OUTPUT_TYPE = "UINT8", "FP32"


class Answer(NamedTuple):
    """The body of an answer, and the length of its JSON if tensors follow in binary."""

    body: bytes
    json_length: Optional[int]


class Request(NamedTuple):
    """A request of inference.

    Attributes:
        id: of the client's, to be repeated.
        crops: the inputs.
        outputs: whether each is sent in binary, by name.
    """

    id: Optional[str]
    crops: Crops
    outputs: Mapping[str, bool]


def server_metadata() -> Dict[str, Any]:
    """What the server is."""
    return {"name": "edgeau", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(manifest: Manifest) -> Dict[str, Any]:
    """What the model takes and gives."""
    inputs = [_tensor(spec.name, _INPUT_TYPE, [-1, spec.height, spec.width, 3]) for spec in manifest.inputs]
    outputs = [_tensor(name, _OUTPUT_TYPE, [-1, len(names)]) for name, names in _outputs(manifest).items()]
    parameters = {name: ",".join(names) for name, names in _outputs(manifest).items()}
    return {
        "name": manifest.name,
        "versions": [VERSION],
        "platform": "edgeau",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": parameters,
    }


def read_request(body: bytes, header_length: Optional[str], manifest: Manifest) -> Request:
    """Decode the body of a request.

    Args:
        body: JSON, and after it the inputs that are sent in binary.
        header_length: the header Inference-Header-Content-Length: the length of the JSON; None if it is all.
        manifest: of the package.

    Raises:
        InputError: the request is not what the protocol or the model asks for.
    """
    value, binary = _split(body, header_length)
    tensors = _inputs(value.get("inputs"), binary)
    specs = {spec.name: spec for spec in manifest.inputs}
    unknown = sorted(set(tensors) - set(specs))
    if unknown or "face" not in tensors:
        raise InputError("inputs", got=", ".join(tensors) or "none", expected=", ".join(specs))
    arrays = {name: _crops(name, array, specs[name]) for name, array in tensors.items()}
    neutrals = arrays.get("neutral")
    if neutrals is not None and len(neutrals) != len(arrays["face"]):
        raise InputError("inputs", got=f"{len(neutrals)} neutrals, {len(arrays['face'])} faces", expected="as many")
    identifier = value.get("id")
    if not isinstance(identifier, (str, type(None))):
        raise InputError("id", got=repr(identifier), expected="a string")
    return Request(identifier, Crops(arrays["face"], neutrals), _asked(value, manifest))


def write_answer(request: Request, outputs: Mapping[str, np.ndarray], manifest: Manifest) -> Answer:
    """Encode outputs, float32 [N, A] by name."""
    tensors: List[Dict[str, Any]] = []
    binary = b""
    for name, in_binary in request.outputs.items():
        array = np.ascontiguousarray(outputs[name], "<f4")
        tensor = _tensor(name, _OUTPUT_TYPE, list(array.shape))
        if in_binary:
            tensor["parameters"] = {"binary_data_size": array.nbytes}
            binary += array.tobytes()
        else:
            tensor["data"] = array.ravel().tolist()
        tensors.append(tensor)
    value: Dict[str, Any] = {"model_name": manifest.name, "model_version": VERSION, "outputs": tensors}
    if request.id is not None:
        value["id"] = request.id
    text = json.dumps(value).encode()
    return Answer(text + binary, len(text) if any(request.outputs.values()) else None)


def _tensor(name: str, datatype: str, shape: List[int]) -> Dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _outputs(manifest: Manifest) -> Dict[str, Tuple[str, ...]]:
    """Names of each output's values, by its name."""
    return {"au": manifest.aus, **({"expression": manifest.expressions} if manifest.expressions else {})}


def _split(body: bytes, header_length: Optional[str]) -> Tuple[Dict[str, Any], memoryview]:
    """The JSON of a request, and the bytes after it."""
    length = len(body)
    if header_length is not None:
        digits = header_length.isascii() and header_length.isdigit() and len(header_length) < 12
        if not digits or int(header_length) > len(body):
            raise InputError(HEADER_LENGTH, got=header_length[:40], expected=f"at most {len(body)}")
        length = int(header_length)
    try:
        value = parse_json(body[:length], "the request")
    except PackageError as error:
        raise InputError(str(error)) from error
    if not isinstance(value, dict):
        raise InputError("the request", got=type(value).__name__, expected="a JSON object")
    return value, memoryview(body)[length:]


def _inputs(values: Any, binary: memoryview) -> Dict[str, np.ndarray]:
    """Arrays by name, of their declared shapes."""
    arrays: Dict[str, np.ndarray] = {}
    for value in _objects(values, "inputs"):
        name, shape = value.get("name"), value.get("shape")
        if not isinstance(name, str) or name in arrays:
            raise InputError("inputs", got=f"name {name!r:.40}", expected="a distinct name for each")
        if value.get("datatype") != _INPUT_TYPE:
            raise InputError(f"input {name!r:.40}", got=f"datatype {value.get('datatype')!r:.40}", expected=_INPUT_TYPE)
        if not isinstance(shape, list) or len(shape) != 4 or not all(_is_count(side) for side in shape):
            raise InputError(f"input {name!r:.40}", got=f"shape {shape!r:.40}", expected="[N, H, W, 3]")
        size = _parameters(value).get("binary_data_size")
        if size is None:
            data = _numbers(name, value.get("data"))
        elif _is_count(size) and size <= len(binary):
            data, binary = np.frombuffer(binary[:size], np.uint8), binary[size:]
        else:
            expected = f"at most {len(binary)}"
            raise InputError(f"input {name!r:.40}", got=f"binary_data_size {size!r:.40}", expected=expected)
        count = shape[0] * shape[1] * shape[2] * shape[3]
        if data.size != count:
            raise InputError(f"input {name!r:.40}", got=f"{data.size} values", expected=f"{count}, as shape says")
        arrays[name] = data.reshape(shape)
    if len(binary):
        raise InputError("the request", got=f"{len(binary)} bytes after the inputs", expected="none")
    return arrays


def _numbers(name: str, data: Any) -> np.ndarray:
    """Values in JSON, flat or nested."""
    try:
        values = np.array(data)
    except ValueError:
        values = np.empty(0, object)
    if values.dtype.kind not in "iu" or not values.size or values.min() < 0 or values.max() > 255:
        raise InputError(f"input {name!r:.40}", got="data of other values", expected="whole numbers from 0 to 255")
    return values.astype(np.uint8).ravel()


def _crops(name: str, array: np.ndarray, spec: InputSpec) -> np.ndarray:
    if array.shape[1:] != (spec.height, spec.width, 3) or not len(array):
        expected = f"[N, {spec.height}, {spec.width}, 3]"
        raise InputError(f"input {name!r}", got=f"shape {list(array.shape)}", expected=expected)
    return array


def _asked(value: Dict[str, Any], manifest: Manifest) -> Dict[str, bool]:
    """Whether each output that is asked for is sent in binary; without ``outputs`` all are asked for."""
    known = _outputs(manifest)
    default = bool(_parameters(value).get("binary_data_output", False))
    if "outputs" not in value:
        return dict.fromkeys(known, default)
    asked = {}
    for output in _objects(value["outputs"], "outputs"):
        name, parameters = output.get("name"), _parameters(output)
        if not isinstance(name, str) or name not in known:
            raise InputError("outputs", got=f"{name!r:.40}", expected=", ".join(known))
        if parameters.get("classification"):
            raise InputError(f"output {name!r}", got="classification", expected="probabilities")
        asked[name] = bool(parameters.get("binary_data", default))
    return asked


def _objects(values: Any, where: str) -> List[Dict[str, Any]]:
    if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
        raise InputError(where, got=type(values).__name__, expected="a list of objects")
    return values


def _parameters(value: Dict[str, Any]) -> Dict[str, Any]:
    parameters = value.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
