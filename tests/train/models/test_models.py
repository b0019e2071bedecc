"""Tests that apply to all four families."""

import json

import pytest
import torch

from edgeau.runtime.errors import InputError
from edgeau.train.models import FAMILIES, PRESETS, ModelConfig, build_model, config_from, resolve_model


def crops(count, size_px, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, size_px, size_px, 3), dtype=torch.uint8, generator=generator)


def test_output_shapes(small):
    family, config = small
    model = build_model(family, config).eval()
    output = model(crops(3, 32), crops(3, 32, seed=1))
    assert output.au_logits.shape == (3, 3)
    assert output.expression_logits.shape == (3, 3)
    assert output.features.ndim == 4
    assert len(output.features) == 3
    assert output.losses == {}


def test_the_neutral_defaults_to_the_face(small):
    model = build_model(*small).eval()
    face = crops(2, 32)
    assert torch.equal(model(face).au_logits, model(face, face).au_logits)


def test_only_models_with_takes_neutral_use_the_neutral(small):
    model = build_model(*small).eval()
    face, neutral = crops(2, 32), crops(2, 32, seed=1)
    same = torch.equal(model(face).au_logits, model(face, neutral).au_logits)
    assert same == (not model.takes_neutral)


def test_a_batch_gives_the_same_as_its_parts(small):
    model = build_model(*small).eval()
    face, neutral = crops(3, 32), crops(3, 32, seed=1)
    parts = [model(face[i : i + 1], neutral[i : i + 1]).au_logits for i in range(3)]
    torch.testing.assert_close(model(face, neutral).au_logits, torch.cat(parts), atol=1e-5, rtol=0)


def test_every_trainable_parameter_gets_a_gradient(small):
    torch.manual_seed(0)
    model = build_model(*small).train()
    output = model(crops(4, 32), crops(4, 32, seed=1))
    (output.au_logits.sin().sum() + output.expression_logits.sin().sum() + sum(output.losses.values())).backward()
    still = {n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().any())}
    # A key's bias shifts all scores of a query by the same amount, which softmax ignores.
    assert {name for name in still if not name.endswith("key.bias")} == set()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all(name.startswith("fan.") for name in frozen)
    assert bool(frozen) == (small[0] == "fan-trans")


def test_a_model_learns_to_distinguish_bright_from_dark(small):
    torch.manual_seed(0)
    model = build_model(small[0], {**small[1], "dropout": 0.0}).train()
    bright = torch.arange(8) % 2
    face = (crops(8, 32) // 4 + (bright * 150)[:, None, None, None]).to(torch.uint8)
    target = bright.float()[:, None].expand(8, 3)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(face).au_logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_the_configuration_recreates_the_model(small):
    model = build_model(*small).eval()
    plain = json.loads(json.dumps(model.config.to_dict()))
    again = build_model(model.family, plain).eval()
    assert again.config == model.config
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(crops(1, 32)).au_logits, model(crops(1, 32)).au_logits)


def test_the_expression_head_is_optional_except_for_eau(small):
    family, config = small
    if family == "eau":
        with pytest.raises(InputError, match="expressions"):
            build_model(family, {**config, "expressions": ()})
    else:
        assert build_model(family, {**config, "expressions": ()}).eval()(crops(1, 32)).expression_logits is None


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_resolve_to_their_family_and_build(name):
    family, config = resolve_model(name, {"aus": ("AU12",)})
    assert name.startswith(family)
    with torch.device("meta"):
        model = build_model(family, config)
    assert model.config.aus == ("AU12",)


def test_every_family_has_a_preset():
    assert {family for family, _ in PRESETS.values()} == set(FAMILIES)


def test_overrides_replace_a_presets_values():
    assert resolve_model("cednn-s", {"aus": ("AU12",), "dropout": 0.5})[1]["dropout"] == 0.5


@pytest.mark.parametrize(
    ("family", "values", "message"),
    [
        ("resnet", {}, "model family: got 'resnet', expected cednn"),
        ("cednn", {"aus": ()}, "distinct AU names"),
        ("cednn", {"aus": ("AU01", "AU01")}, "distinct AU names"),
        ("cednn", {"aus": ("AU01",), "widht": 3}, "got 'widht'"),
        ("cednn", {"aus": ("AU01",), "dropout": "a lot"}, "dropout: got 'a lot', expected float"),
        ("cednn", {"aus": ("AU01",), "widths": 32}, "widths: got 32, expected tuple"),
    ],
)
def test_errors_name_wrong_values(family, values, message):
    with pytest.raises(InputError, match=message):
        build_model(family, values)


def test_lists_from_json_become_tuples():
    config = config_from(ModelConfig, {"aus": ["AU01"], "size_px": 64})
    assert config == ModelConfig(aus=("AU01",), size_px=64)
