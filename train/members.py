"""The models of a recipe, with the weights that they start from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.train.models.fan import Fan, FanConfig, fan_pixels, load_fan_weights
from edgeau.train.models.fan_trans import FanTrans

from .data import FaceData
from .models import PRESETS, AuModel, build_model, resolve_model
from .recipe import Recipe
from .unfold import open_init


def make_models(recipe: Recipe, data: FaceData) -> dict[str, AuModel]:
    """The models of a recipe by name; repeated names are numbered.

    Raises:
        InputError: an unknown model, or a configuration value that a model does not have.
    """
    labelled = tuple(EXPRESSIONS) if (data.expression >= 0).any() else ()
    fan = None if recipe.fan is None else load_fan_weights(recipe.fan, recipe.fan_pooling)
    models: dict[str, AuModel] = {}
    for number, preset in enumerate(recipe.models):
        values = {"aus": data.aus, **recipe.config}
        if fan is not None:
            values = {"pixels": fan_pixels(str(recipe.fan)), **fan_sizes(fan.config, preset), **values}
        family, config = resolve_model(preset, values)
        if labelled and family in ("sma-net", "eau") and "expressions" not in recipe.config:
            family, config = resolve_model(preset, {**values, "expressions": labelled})
        before = recipe.models[:number].count(preset)
        name = f"{preset}-{before + 1}" if before else preset
        models[name] = build_model(family, config)
    if recipe.init is not None:
        for model in models.values():
            _initialise(model, recipe.init, whole=recipe.start_share > 0)
    if fan is not None:
        _give_fan(models, fan)
    return models


def warn_of_small_crops(models: Mapping[str, AuModel], data: FaceData) -> None:
    needed = max(model.config.size_px for model in models.values())
    stored = min(shard.pixels.shape[1] for shard in data.shards)
    if stored < needed:
        hint = f"prepare them again with --size {needed}"
        text = f"crops of {stored} px are enlarged to the model's {needed}, and look blurred to it: {hint}"
        warnings.warn(text, EdgeauWarning, stacklevel=3)


def fan_sizes(config: FanConfig, preset: str) -> dict[str, Any]:
    """The configuration of a model that is built on a FAN with these weights; empty for other models."""
    if PRESETS.get(preset, (preset,))[0] != FanTrans.family:
        return {}
    sizes = {"fan_stacks": config.stacks, "fan_width": config.width, "fan_depth": config.depth}
    return {**sizes, "fan_pooling": config.pooling}


def _give_fan(models: Mapping[str, AuModel], fan: Fan) -> None:
    takers = [model for model in models.values() if isinstance(model, FanTrans)]
    if not takers:
        raise InputError("--fan", got=f"models {', '.join(models)}", expected="FAN-Trans, which is built on a FAN")
    for model in takers:
        model.load_fan(fan)


def _initialise(model: AuModel, init: str, *, whole: bool) -> None:
    """Load those weights that fit; a classifier for other AUs is trained from scratch, unless all must be ``whole``."""
    start = open_init(init)
    if start.family == model.family and start.config["pixels"] != model.config.pixels:
        kind = start.config["pixels"]
        got = f"weights for pixels={kind}, a model with pixels={model.config.pixels}"
        raise InputError("--init", got=got, expected="the same", hint=f"add --config pixels={kind}")
    weights = start.state_dict
    own = model.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise InputError(f"checkpoint {init}", got="no weights that fit", expected=f"a checkpoint of {model.family}")
    if whole and len(fitting) < len(own):
        got = f"{len(own) - len(fitting)} weights that {init} does not have"
        raise InputError("--start-share", got=got, expected="the model and the AUs of --init")
    model.load_state_dict(fitting, strict=False)
