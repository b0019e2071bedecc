"""The live page in headless Chromium, with a fake camera that shows NASA's portrait."""

import base64
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.serving import ask_whole, bright_analyzer, running

from edgeau.runtime import load
from edgeau.runtime.serving.app import PAGE

sys.path.insert(0, str(Path(__file__).parent))

from chromium import chromium

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser(tmp_path_factory, photo_bgr):
    """A browser whose camera shows the portrait, which moves a little."""
    folder = tmp_path_factory.mktemp("chromium")
    film = folder / "camera.mjpeg"
    frames = (cv2.copyMakeBorder(np.roll(photo_bgr[:480], 4 * step, 1), 0, 0, 64, 64, 1) for step in range(5))
    film.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    with chromium(folder / "profile", f"--use-file-for-fake-video-capture={film}") as page:
        yield page


@pytest.fixture
def page(browser):
    """The browser, which must have reported no problems by the end of the test."""
    browser.problems.clear()
    browser.addresses.clear()
    yield browser
    assert browser.problems == []


@pytest.fixture(scope="module")
def bright():
    with running([bright_analyzer()]) as server:
        yield f"http://127.0.0.1:{server.address[1]}/"


@pytest.fixture(scope="module")
def shipped():
    with load(threads=1, detector="haar") as analyzer, running([analyzer]) as server:
        yield f"http://127.0.0.1:{server.address[1]}/"


def values(page):
    """The value and state of each bar, by AU."""
    bars = "Object.fromEntries([...document.querySelectorAll('.unit')].map(u => [u.dataset.au, "
    bars += "[Number(u.querySelector('.bar').ariaValueNow), u.classList.contains('on')]]))"
    return page.evaluate(bars)


def state(page):
    return page.evaluate("document.body.dataset.state")


def note(page):
    return page.evaluate("document.getElementById('note').hidden ? '' : document.getElementById('note').textContent")


def outlined(page):
    """The bounding box of the overlay's drawn pixels, as fractions of its size: left, top, right, bottom."""
    return page.evaluate("""(() => {
        const [w, h] = [overlay.width, overlay.height], data = overlay.getContext("2d").getImageData(0, 0, w, h);
        let box = [1, 1, 0, 0];
        for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) if (data.data[4 * (y * w + x) + 3] > 200)
            box = [Math.min(box[0], x / w), Math.min(box[1], y / h), Math.max(box[2], x / w), Math.max(box[3], y / h)];
        return box;
    })()""")


def test_the_camera_is_analysed_until_stopped(page, shipped):
    page.open(shipped)
    page.evaluate("document.getElementById('camera').click()")
    page.until("Number(document.body.dataset.frames) >= 12")
    assert state(page) == "running"
    assert "1 face" in page.evaluate("document.getElementById('facts').textContent")
    # The neutral is the median of the first frames, so values are meaningful only after these.
    assert note(page) == ""
    assert any(value > 0.02 for value, _ in values(page).values())
    assert page.evaluate("rows[aus[0]].history.length") >= 12
    left, top, right, bottom = outlined(page)
    # The portrait's face is in the middle of the picture's upper half; mirrored, the middle stays.
    assert 0.2 < left < 0.5 < right < 0.8
    assert top < bottom < 0.75
    page.evaluate("document.getElementById('camera').click()")
    page.until("document.body.dataset.state === 'idle'")
    assert page.evaluate("video.srcObject") is None


def test_a_picture_shows_the_analyzers_result(page, bright, photo_bgr, tmp_path):
    file = tmp_path / "photo.png"
    cv2.imwrite(str(file), photo_bgr)
    page.open(bright)
    page.choose_file("#file", file)
    page.until("document.body.dataset.state === 'ended'")
    (face,) = bright_analyzer().still(photo_bgr)
    assert values(page) == {
        "AU01": [pytest.approx(face.au["AU01"], abs=0.02), True],
        "AU12": [pytest.approx(face.au["AU12"], abs=0.02), False],
    }
    assert note(page) == ""


def test_a_dropped_picture_gives_a_note_if_the_model_needs_a_neutral(page, shipped, photo):
    page.open(shipped)
    drop(page, base64.b64encode(photo).decode(), "a.jpg", "image/jpeg")
    page.until("document.body.dataset.state === 'ended'")
    assert "the values mean less" in note(page)


def test_a_file_that_is_no_picture_is_refused_with_a_note(page, bright):
    page.open(bright)
    drop(page, base64.b64encode(b"text").decode(), "thesis.txt", "text/plain")
    page.until("!document.getElementById('note').hidden")
    assert note(page) == "thesis.txt is no picture or clip that this browser can open."
    assert state(page) == "idle"


def drop(page, content, name, kind):
    page.evaluate(f"""(() => {{
        const bytes = Uint8Array.from(atob({json.dumps(content)}), letter => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], {json.dumps(name)}, {{ type: {json.dumps(kind)} }}));
        dispatchEvent(new DragEvent("drop", {{ dataTransfer: data, cancelable: true }}));
    }})()""")


@pytest.fixture
def head(photo_bgr):
    """The portrait's head alone, in which Haar finds one face."""
    return cv2.resize(photo_bgr[:256, 96:352], (512, 512))


def test_a_clip_is_analysed_to_its_end(page, bright, head, tmp_path):
    file = tmp_path / "clip.webm"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"VP80"), 10, (512, 512))
    if not writer.isOpened():
        pytest.skip("this OpenCV can't write VP8")
    for step in range(15):
        writer.write(np.roll(head, 2 * step, 1))
    writer.release()
    page.open(bright)
    page.choose_file("#file", file)
    page.until("document.body.dataset.state === 'ended'")
    assert int(page.evaluate("document.body.dataset.frames")) >= 3
    assert page.evaluate("faces.map(face => face.track_id)") == [0]


def test_a_click_selects_one_of_several_faces(page, bright, head, tmp_path):
    file = tmp_path / "two.jpg"
    cv2.imwrite(str(file), np.hstack([head, (head * 0.6).astype(np.uint8)]))
    page.open(bright)
    page.choose_file("#file", file)
    page.until("document.body.dataset.state === 'ended'")
    other = page.evaluate("""(() => {
        const face = faces.find(face => face.track_id !== chosen), [x, y, w, h] = boxOnStage(face);
        const { left, top } = overlay.getBoundingClientRect();
        const at = { clientX: left + x + w / 2, clientY: top + y + h / 2, bubbles: true };
        document.getElementById("stage").dispatchEvent(new MouseEvent("click", at));
        return face.track_id;
    })()""")
    assert page.evaluate("chosen") == other
    assert page.evaluate("document.getElementById('who').textContent").startswith(f"Face {other + 1} of ")
    known = page.evaluate(f"faces.find(face => face.track_id === {other}).au.AU01")
    assert values(page)["AU01"][0] == pytest.approx(known, abs=0.01)


def test_the_page_explains_why_there_is_no_camera(page, bright):
    page.open(bright)
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.evaluate("document.getElementById('camera').click()")
    page.until("!document.getElementById('note').hidden")
    assert "only over https, or from this machine itself" in note(page)
    assert state(page) == "idle"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desktop", "phone"])
def test_the_layout_fits_the_window_and_text_has_enough_contrast(page, shipped, size, dark):
    page.open(shipped, **size, dark=dark)
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('button, label')].filter(b => b.offsetParent)"
                         ".every(b => b.getBoundingClientRect().height >= 40)")  # fmt: skip
    text, card = (page.evaluate(f"getComputedStyle(document.querySelector('#units'), null).{name}")
                  for name in ("color", "backgroundColor"))  # fmt: skip
    light, shade = sorted((luminance(text), luminance(card)), reverse=True)
    assert (light + 0.05) / (shade + 0.05) >= 7  # WCAG 2.2, 1.4.6
    assert (luminance(card) < 0.1) == dark


def luminance(colour):
    """Relative luminance of ``rgb(...)`` by WCAG 2.2."""
    parts = np.array([float(part) for part in colour.strip("rgb()").split(",")]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_page_requests_nothing_from_other_servers(page, bright):
    page.open(bright)
    asked = [address for address in page.addresses if not address.startswith(("data:", "blob:"))]
    assert asked
    assert all(address.startswith(bright) for address in asked)
    assert "http://" not in PAGE.read_text("utf-8").replace("https", "")


def test_the_content_security_policy_allows_no_other_scripts(bright):
    _, headers, _ = ask_whole(int(bright.rsplit(":", 1)[1].strip("/")), "GET", "/")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
