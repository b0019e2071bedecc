"""The prediction loop over crops, with functions in place of backends. For F1, AUC and ICC see test_au_metrics."""

from __future__ import annotations

import numpy as np
import pytest

from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.errors import BackendError
from edgeau.runtime.evaluate import predict, predict_aus


@pytest.mark.parametrize(
    ("count", "smallest", "batch"), [(12, 1, 5), (3, 4, 4), (9, 4, 4), (1, 1, 1), (16, 1, 16), (17, 1, 16)]
)
def test_batches_stay_within_their_limits_and_cover_every_crop(count: int, smallest: int, batch: int) -> None:
    faces = np.arange(count, dtype=np.uint8)[:, None]
    sizes: list[int] = []

    def infer(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        sizes.append(len(inputs["face"]))
        return {"au": inputs["face"].astype(np.float32), "expression": inputs["face"] + 1.0}

    outputs = predict(infer, {"face": faces}, batch, smallest)
    assert outputs["au"].ravel().tolist() == list(range(count))
    assert outputs["expression"].ravel().tolist() == list(range(1, count + 1))
    assert all(smallest <= size <= batch for size in sizes)


def test_outputs_are_copied_before_the_backend_overwrites_them() -> None:
    memory = np.zeros((2, 1), np.float32)

    def infer(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        memory[:] = inputs["face"]
        return {"au": memory}

    assert predict(infer, {"face": np.arange(6.0)[:, None]}, 2)["au"].ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_a_graph_without_au_probabilities_is_refused() -> None:
    backend = FakeBackend({"face": (4, 4, 3)}, 2)
    faces = np.full((3, 4, 4, 3), 255, np.uint8)
    assert predict_aus(backend, {"face": faces}, 2).tolist() == [[1, 1]] * 3
    backend.output_names = ("logits",)
    with pytest.raises(BackendError, match="outputs logits, and none is called au"):
        predict_aus(backend, {"face": faces})
