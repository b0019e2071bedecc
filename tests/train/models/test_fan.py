"""FAN has the parameter names of the public weights and reproduces the public code's heatmaps."""

import importlib.util

import numpy as np
import pytest
import torch

from edgeau.runtime.errors import InputError
from edgeau.train.data import open_data
from edgeau.train.members import make_models
from edgeau.train.models.fan import Fan, FanConfig, load_fan_weights
from edgeau.train.recipe import Recipe


def filled(fan):
    """A FAN with weights from NumPy's frozen generator, small enough to keep its activity in range."""
    random = np.random.RandomState(0)
    for name, value in fan.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.from_numpy(random.standard_normal(value.shape))
        if value.ndim == 4:
            value.copy_(noise * (0.25 / value[0].numel()) ** 0.5)
        elif name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
            value.copy_(1 + 0.1 * noise.clamp(-3, 3))
        else:
            value.copy_(0.1 * noise)
    return fan.eval()


def picture(side):
    wave = torch.arange(3 * side * side, dtype=torch.float64) * 0.013
    return (0.5 + 0.5 * torch.sin(wave)).reshape(1, 3, side, side).float()


@pytest.mark.parametrize(("stacks", "keys", "millions"), [(1, 334, 6.250), (2, 599, 12.107), (4, 1129, 23.820)])
def test_key_and_parameter_counts_equal_those_of_the_public_weights(stacks, keys, millions):
    with torch.device("meta"):
        fan = Fan(FanConfig(stacks=stacks))
    assert len(fan.state_dict()) == keys
    assert sum(p.numel() for p in fan.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.fixture(scope="module")
def public():
    """The class from the face-alignment package, loaded without importing the package, which has more dependencies."""
    spec = importlib.util.find_spec("face_alignment")
    if spec is None:
        pytest.skip("the face-alignment package is not installed: pip install --no-deps face-alignment")
    file = spec.submodule_search_locations[0] + "/models/fan.py"
    module_spec = importlib.util.spec_from_file_location("public_fan", file)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.FAN


@pytest.mark.parametrize("stacks", [2, 4])
def test_heatmaps_agree_with_the_face_alignment_package(public, stacks):
    torch.manual_seed(0)
    theirs = filled(public(stacks))
    ours = Fan(FanConfig(stacks=stacks, pooling="avg")).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    image = picture(128)
    with torch.no_grad():
        expected, got = theirs(image), ours(image).heatmaps
    assert len(got) == len(expected) == stacks
    assert all(maps.std() > 0.01 for maps in expected)  # not a comparison of constants
    for maps, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(maps, reference, atol=1e-5, rtol=0)


# From the class in face-alignment 1.5.0 (average pooling) and the same class with max pooling, with `filled` weights on
# `picture(128)`: the last stack's heatmaps of landmarks 0, 30 and 67 at the centre.
GOLDEN = {
    (2, "avg"): [-0.03213, -0.098523, -0.254065],
    (2, "max"): [0.066197, -0.114838, -0.28867],
    (4, "avg"): [2.072803, -0.011911, 0.438714],
    (4, "max"): [2.059093, 0.26709, 0.365589],
}


@pytest.mark.parametrize("case", list(GOLDEN))
def test_heatmaps_agree_with_recorded_values(case):
    stacks, pooling = case
    fan = filled(Fan(FanConfig(stacks=stacks, pooling=pooling)))
    with torch.no_grad():
        maps = fan(picture(128)).heatmaps[-1]
    assert maps[0, [0, 30, 67], 16, 16].tolist() == pytest.approx(GOLDEN[case], abs=1e-5)


def test_features_are_the_stem_and_the_stacks_weighted_by_heatmaps():
    fan = filled(Fan(FanConfig(stacks=2, width=32, depth=2)))
    with torch.no_grad():
        output = fan(picture(64))
        features = output.features()
    assert features.shape == (1, 96, 16, 16)
    assert torch.equal(features[:, :32], output.stem)
    where = output.heatmaps[1].sum(dim=1, keepdim=True)
    torch.testing.assert_close(features[:, 64:], output.stacks[1] * where)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}])
def test_loaded_weights_determine_the_sizes(tmp_path, wrap):
    fan = filled(Fan(FanConfig(stacks=3, width=32, depth=2, pooling="avg", landmarks=10)))
    torch.save(wrap(fan.state_dict()), tmp_path / "fan.pth")
    again = load_fan_weights(tmp_path / "fan.pth", "avg")
    assert again.config == fan.config
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(picture(32)).heatmaps[-1], fan(picture(32)).heatmaps[-1])


def test_heatmaps_depend_on_the_pooling():
    maps = {}
    for pooling in ("max", "avg"):
        with torch.no_grad():
            maps[pooling] = filled(Fan(FanConfig(width=32, depth=2, pooling=pooling)))(picture(32)).heatmaps[-1]
    assert not torch.allclose(maps["max"], maps["avg"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"junk", "truncated or foreign"),
        ({"fc.weight": torch.zeros(2, 2)}, "weights of something else"),
        ({"l0.weight": torch.zeros(68, 256, 1, 1), "m0.b1_4.bn1.weight": torch.zeros(1)}, "weights of something else"),
        ([1, 2], "weights of something else"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    file = tmp_path / "fan.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(InputError, match=message):
        load_fan_weights(file, "max")


@pytest.mark.parametrize(("stacks", "pooling"), [(4, "avg"), (2, "max")])
def test_a_model_uses_the_stacks_and_pooling_of_the_weights(tmp_path, make_crop_set, stacks, pooling):
    """face-alignment's 2DFAN4 has 4 stacks and average pooling; ibug's 2dfan2 has 2 stacks and max pooling."""
    file = tmp_path / "weights.pth"
    torch.save(Fan(FanConfig(stacks, 16, 2, pooling)).state_dict(), file)
    recipe = Recipe(models=("fan-trans-s",), data=(), out=tmp_path, fan=str(file), config={"size_px": 64, "heads": 2})
    (model,) = make_models(recipe, open_data([str(make_crop_set())])).values()
    fan = model.config.fan
    assert (fan.stacks, fan.width, fan.depth, fan.pooling) == (stacks, 16, 2, pooling)
