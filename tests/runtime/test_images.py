from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.errors import InputError
from edgeau.runtime.images import as_bgr, crops_of_images, decode_image, read_image
from edgeau.runtime.manifest import CropSpec


def test_colour_grey_alpha_and_16_bit_pictures_all_become_8_bit_bgr(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    grey = cv2.cvtColor(photo_bgr, cv2.COLOR_BGR2GRAY)
    alpha = np.dstack([photo_bgr, np.full(grey.shape, 128, np.uint8)])
    wide = photo_bgr.astype(np.uint16) * 257
    for name, written, expected in [
        ("colour", photo_bgr, photo_bgr),
        ("grey", grey, np.dstack([grey] * 3)),
        ("alpha", alpha, photo_bgr),
        ("wide", wide, photo_bgr),
    ]:
        file = tmp_path / f"{name}.png"
        cv2.imwrite(str(file), written)
        for image in (read_image(file), as_bgr(written)):
            assert image.dtype == np.uint8
            assert np.abs(image.astype(int) - expected).max() <= 1, name


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    skimage_io = pytest.importorskip("PIL.Image")
    image = skimage_io.fromarray(np.dstack([np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))] * 3))
    exif = skimage_io.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (60, 40, 3)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_an_unreadable_picture_is_a_one_line_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "broken.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"image .*broken\.png") as caught:
        read_image(file)
    assert "\n" not in str(caught.value)


def test_a_truncated_jpeg_header_is_refused(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    file.write_bytes(cv2.imencode(".jpg", photo_bgr)[1].tobytes()[:300])
    with pytest.raises(InputError, match=r"cut\.jpg"):
        read_image(file)


def test_a_file_name_with_non_ascii_letters_is_read(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "Gesichtszüge 面.png"
    file.write_bytes(cv2.imencode(".png", photo_bgr)[1].tobytes())
    assert read_image(file).shape == photo_bgr.shape


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_not_images_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected uint8"):
        as_bgr(wrong)


def test_photos_are_cropped_and_crops_are_used_unchanged(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    spec = CropSpec()
    cv2.imwrite(str(tmp_path / "photo.png"), photo_bgr)
    (crop,) = crops_of_images([tmp_path / "photo.png"], spec)
    cv2.imwrite(str(tmp_path / "crop.png"), crop[:, :, ::-1])
    (again,) = crops_of_images([tmp_path / "crop.png"], spec)
    assert np.array_equal(crop, again)


@pytest.mark.parametrize("name", [os.fsdecode(b"na\xefve\xff.png"), "größe.png", "日本.png"])
def test_any_file_name_is_read(photo_bgr: np.ndarray, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(cv2.imencode(".png", photo_bgr)[1].tobytes())
    assert np.array_equal(read_image(tmp_path / name), photo_bgr)


def test_special_and_oversized_files_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    with open(tmp_path / "huge.png", "wb") as sparse:
        sparse.truncate(2 << 30)
    for name in ("fifo.png", "zero.png", "folder.png", "huge.png", "nul\0.png"):
        with pytest.raises(InputError):
            read_image(tmp_path / name)


def test_pictures_too_large_for_opencv_are_refused() -> None:
    """A PNG header of 65,535 x 65,535 pixels."""
    header = struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(InputError, match=r"refused by OpenCV|no picture"):
        decode_image(np.frombuffer(data, np.uint8), "picture")
    with pytest.raises(InputError, match="sides up to"):
        as_bgr(np.zeros((1, 40000, 3), np.uint8))
