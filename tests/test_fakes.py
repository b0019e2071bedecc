"""The fakes have the names of the real libraries and no others."""

import json
import os
from pathlib import Path

import pytest
from fakes.tensorrt import CLASSES, ENUMERATIONS, NAMES, VERSIONS, make_tensorrt

ROOT = Path(__file__).resolve().parents[1]


def test_the_excerpt_of_names_agrees_with_the_bindings_source():
    file = Path(os.environ.get("EDGEAU_TENSORRT_API") or ROOT.parent / "shared" / "tensorrt-api.json")
    if not file.is_file():
        pytest.skip("the names of the whole API are not at hand: set EDGEAU_TENSORRT_API to their file")
    whole = json.loads(file.read_text())
    for version, classes in NAMES.items():
        assert classes == {name: sorted(whole[version][name]) for name in classes}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fake_has_only_names_of_its_version(version):
    trt = make_tensorrt(version)
    for base in CLASSES:
        fake = getattr(trt, base.__name__)
        public = {name for name in vars(base) if not name.startswith("_")}
        offered = {name for name in public if hasattr(fake, name)}
        inherited = set().union(*(NAMES[version].get(parent.__name__, ()) for parent in base.__mro__))
        assert offered <= inherited, base.__name__
    for name in ENUMERATIONS:
        assert sorted(getattr(trt, name).__members__) == NAMES[version][name]
    assert hasattr(trt, "IProgressMonitor") == ("IProgressMonitor" in NAMES[version])


def test_a_name_that_a_version_lacks_raises_attribute_error():
    old, new = make_tensorrt("8.5"), make_tensorrt("10.16")
    assert not hasattr(old.IBuilderConfig, "builder_optimization_level")
    assert not hasattr(old.IBuilderConfig(), "builder_optimization_level")
    assert not hasattr(old.OnnxParser, "load_model_proto")
    assert hasattr(new.OnnxParser, "load_model_proto")
    assert not hasattr(new.Builder, "max_batch_size")
    with pytest.raises(AttributeError, match="no progress_monitor"):
        old.IBuilderConfig().progress_monitor = None
