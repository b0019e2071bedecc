"""CEDNN: difference maps by threshold, added to the configured blocks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeau.runtime.errors import InputError
from edgeau.train.models import PRESETS, build_model, resolve_model
from edgeau.train.models.cednn import GREY_WEIGHTS, CednnConfig, DifferenceMaps

AUS = ("AU01", "AU04", "AU12")


def grey(value, size_px=32):
    return torch.full((1, 3, size_px, size_px), float(value))


def config(**values):
    return CednnConfig(aus=AUS, **values)


def test_each_map_marks_where_the_difference_exceeds_its_threshold():
    maps = DifferenceMaps(config(thresholds=(5.0, 10.0, 20.0, 40.0, 80.0)))(grey(125), grey(100))
    assert maps.shape == (1, 5, 16, 16)
    assert maps[0, :, 0, 0].tolist() == [1, 1, 1, 0, 0]
    assert maps.unique().tolist() == [0, 1]


def test_a_difference_equal_to_the_threshold_does_not_count():
    maps = DifferenceMaps(config(thresholds=(6.0, 12.0, 20.0, 32.0, 48.0)))(grey(112), grey(100))
    assert maps[0, :, 0, 0].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("difference", ["grey", "max"])
def test_the_sign_of_the_difference_does_not_matter(difference):
    maps = DifferenceMaps(config(difference=difference))
    face, neutral = torch.randint(0, 256, (2, 1, 3, 32, 32)).float()
    assert torch.equal(maps(face, neutral), maps(neutral, face))


def test_grey_weights_channels_by_luma_and_max_uses_the_largest():
    face = torch.zeros(1, 3, 32, 32)
    face[:, 1] = 50
    neutral = torch.zeros_like(face)
    assert DifferenceMaps(config()).difference(face, neutral)[0, 0, 0, 0].item() == pytest.approx(50 * GREY_WEIGHTS[1])
    largest = DifferenceMaps(config(difference="max")).difference(face, neutral)
    assert largest[0, 0, 0, 0].item() == pytest.approx(50)


def test_stride_averages_the_difference_before_thresholding():
    face = grey(100)
    face[..., ::2] += 20  # every second column
    assert DifferenceMaps(config(difference_stride=2)).difference(face, grey(100)).unique().tolist() == pytest.approx(
        [10]
    )
    assert DifferenceMaps(config(difference_stride=1)).difference(face, grey(100)).amax().item() == pytest.approx(20)


def _inputs_of_blocks(model, face, neutral):
    """The maps that each block receives, recorded by forward hooks."""
    seen = {}
    hooks = [
        block.map_scale.register_forward_hook(lambda _, inputs, __, number=number: seen.update({number: inputs[0]}))
        for number, block in enumerate(model.blocks)
        if block.map_scale is not None
    ]
    with torch.no_grad():
        model(face, neutral)
    for hook in hooks:
        hook.remove()
    return seen


def test_maps_enter_the_blocks_that_the_configuration_names():
    model = build_model("cednn", {"aus": AUS, "size_px": 64, "block_maps": ((), (4, 0), (), (2,))}).eval()
    face = torch.full((1, 64, 64, 3), 130, dtype=torch.uint8)
    neutral = torch.full((1, 64, 64, 3), 105, dtype=torch.uint8)  # 25 apart: maps 0 to 2 are 1, maps 3 and 4 are 0
    seen = _inputs_of_blocks(model, face, neutral)
    assert sorted(seen) == [1, 3]
    assert [seen[1][0, i].unique().tolist() for i in range(2)] == [[0], [1]]
    assert seen[3].unique().tolist() == [1]
    assert seen[1].shape[-2:] == (32, 32)  # at the input of block 1, before it halves the image
    assert seen[3].shape[-2:] == (16, 16)


def test_maps_affect_the_output_only_if_they_are_added():
    torch.manual_seed(0)
    face, neutral = torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8)
    without = build_model("cednn", {"aus": AUS, "size_px": 64, "block_maps": ()}).eval()
    assert torch.equal(without(face, neutral).au_logits, without(face).au_logits)
    with_maps = build_model("cednn", {"aus": AUS, "size_px": 64}).eval()
    assert not torch.allclose(with_maps(face, neutral).au_logits, with_maps(face).au_logits)


@pytest.mark.parametrize("name", [n for n, (family, _) in PRESETS.items() if family == "cednn"])
def test_every_student_is_smaller_than_two_megabytes(name):
    model = build_model(*resolve_model(name, {"aus": [f"AU{i:02d}" for i in range(1, 16)]}))
    assert sum(value.numel() for value in model.state_dict().values()) * 4 < 2_000_000


def test_only_the_classifier_depends_on_the_number_of_aus():
    few, many = build_model("cednn", {"aus": AUS}), build_model("cednn", {"aus": (*AUS, "AU25", "AU26")})
    differing = {name for name, value in few.state_dict().items() if value.shape != many.state_dict()[name].shape}
    assert differing == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("name", ["cednn-dw", "cednn-xs"])
def test_a_depthwise_student_has_no_dense_3x3_convolution(name):
    model = build_model(*resolve_model(name, {"aus": AUS}))
    assert all(block.grouped[0].weight.shape[1] == 1 for block in model.blocks)


@settings(max_examples=10)
@given(
    size_px=st.sampled_from([48, 64, 112, 128]),
    widths=st.lists(st.sampled_from([16, 32, 48]), min_size=2, max_size=4),
    group_width=st.sampled_from([1, 8, 16]),
    difference=st.sampled_from(["grey", "max"]),
)
def test_any_valid_sizes_work_together(size_px, widths, group_width, difference):
    values = {
        "aus": AUS, "size_px": size_px, "widths": widths, "depths": [1] * len(widths), "stem_width": 16,
        "group_width": group_width, "difference": difference, "block_maps": [[0, 1], [2]],
    }  # fmt: skip
    model = build_model("cednn", values).eval()
    face = torch.zeros(2, size_px, size_px, 3, dtype=torch.uint8)
    output = model(face, face)
    assert output.au_logits.shape == (2, 3)
    assert output.features.shape == (2, widths[-1], model.config.last_px, model.config.last_px)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"difference": "hue"}, "difference"),
        ({"widths": (32, 64), "depths": (1,)}, "depths"),
        ({"group_width": 7}, "group_width"),
        ({"block_maps": ((9,),)}, "block_maps"),
        ({"size_px": 100}, "size_px"),
        ({"head_grid": 3}, "size_px"),
        ({"difference_stride": 4}, "difference_stride"),
    ],
)
def test_invalid_sizes_are_refused_by_name(values, named):
    with pytest.raises(InputError, match=named):
        build_model("cednn", {"aus": AUS, **values})
