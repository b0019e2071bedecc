"""Converting crops to the image that a network reads."""

import pytest
import torch

from edgeau.runtime.errors import InputError
from edgeau.train.models import FAMILIES, build_model
from edgeau.train.models.base import Pixels

SMALL = {"fan-trans": {"fan_width": 16, "fan_depth": 1, "width": 16, "heads": 2}}


@pytest.fixture
def planes():
    return torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()


def test_standardised_channels_have_mean_0_and_deviation_1(planes):
    image = Pixels("standardised")(planes * torch.tensor([1.0, 0.5, 0.3]).view(1, 3, 1, 1))
    assert image.mean(dim=(2, 3)).abs().max() < 1e-5
    assert image.std(dim=(2, 3), unbiased=False) == pytest.approx(1, abs=2e-3)


def test_standardising_removes_exposure_contrast_and_colour_cast(planes):
    standardise = Pixels("standardised")
    cast = planes * torch.tensor([0.9, 0.7, 0.5]).view(1, 3, 1, 1) + 20
    torch.testing.assert_close(standardise(cast), standardise(planes), atol=2e-3, rtol=0)


def test_standardising_a_uniform_crop_gives_0_and_does_not_amplify_faint_noise():
    standardise = Pixels("standardised")
    even = torch.full((1, 3, 32, 32), 77.0)
    assert standardise(even).abs().max() < 1e-3
    even[..., ::2] += 0.1
    assert standardise(even).abs().max() < 0.1


def test_scaled_pixels_are_divided_by_255(planes):
    assert torch.equal(Pixels("scaled")(planes), planes / 255)


@pytest.mark.parametrize("family", FAMILIES)
def test_new_models_standardise_and_are_invariant_to_brightness(family):
    torch.manual_seed(0)
    config = {"aus": ("AU12",), "size_px": 64, **SMALL.get(family, {})}
    face = torch.randint(0, 120, (2, 64, 64, 3), dtype=torch.uint8)
    bright = face * 2
    by_default, scaled = (build_model(family, {**config, **more}).eval() for more in ({}, {"pixels": "scaled"}))
    assert by_default.config.pixels == "standardised"
    with torch.no_grad():
        same = (by_default(face).au_logits - by_default(bright).au_logits).abs().max()
        other = (scaled(face).au_logits - scaled(bright).au_logits).abs().max()
    assert same < 0.02 * other


def test_an_unknown_pixels_option_is_refused():
    with pytest.raises(InputError, match="standardised or scaled"):
        build_model("cednn", {"aus": ("AU12",), "pixels": "grey"})
