"""How a package reads real faces: photos labelled by eye, and a clip of acted expressions. Nothing is tuned on them.

    python -m edgeau.benchmarks.studies.real_faces --clip clip.mp4 --photos folder --out benchmarks/results/real-faces
    python -m edgeau.benchmarks.studies.real_faces -p fan-trans.edgeau --clip clip.mp4 --out teacher

Without --photos only scikit-image's astronaut is read. The folder may hold the pictures named in real_faces.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.records import write_records
from edgeau.benchmarks.stages import photo_bgr
from edgeau.runtime.action_units import au_name
from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.choose import load
from edgeau.runtime.crop import crop_face
from edgeau.runtime.files import write_bytes, write_text
from edgeau.runtime.images import read_image
from edgeau.runtime.terminal import note, say
from edgeau.runtime.video import open_video

from .clip_plot import clip_curves

EXPECTED = Path(__file__).with_suffix(".json")
CALM_FRAMES = 15
SAD_AUS = ("AU01", "AU04", "AU15")


def read_photos(analyzer: Analyzer, folder: Path | None) -> list[dict[str, Any]]:
    """One row per AU of each face that was labelled by eye: photo, face, au, expected, presence."""
    rows: list[dict[str, Any]] = []
    for name, faces in json.loads(EXPECTED.read_text("utf-8"))["photos"].items():
        if name == "astronaut":
            image = photo_bgr()
        elif folder is not None and (folder / name).is_file():
            image = read_image(folder / name)
        else:
            continue
        detected = analyzer.still(image)
        for label in faces:
            if label["face"] >= len(detected):
                rows.append({"photo": name, "face": label["face"], "au": None, "expected": None, "presence": None})
                continue
            au = detected[label["face"]].au
            for expected, numbers in ((1, label["on"]), (0, label["off"])):
                names = [au_name(number) for number in numbers]
                rows += [
                    {"photo": name, "face": label["face"], "au": n, "expected": expected, "presence": round(au[n], 4)}
                    for n in names
                    if n in au
                ]
    return rows


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per AU: faces labelled on and off, how many of each were read so at 0.5, and the mean presence of both."""
    summary = []
    for au in sorted({row["au"] for row in rows if row["au"]}):
        on = [row["presence"] for row in rows if row["au"] == au and row["expected"] == 1]
        off = [row["presence"] for row in rows if row["au"] == au and row["expected"] == 0]
        summary.append(
            {
                "au": au,
                "on": len(on),
                "hit": sum(p >= 0.5 for p in on),
                "mean_on": round(float(np.mean(on)), 3) if on else None,
                "off": len(off),
                "correct_off": sum(p < 0.5 for p in off),
                "mean_off": round(float(np.mean(off)), 3) if off else None,
            }
        )
    return summary


def read_clip(analyzer: Analyzer, path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Presence over a clip, against a neutral computed from its calmest frames.

    Returns:
        time_s float [T], presence float [T, A] of the largest face, and the number of frames without a face.
    """
    crops, times, missed = [], [], 0
    for _, time_s, frame in open_video(str(path)):
        faces_found = analyzer.detector.detect(frame)
        if not faces_found:
            missed += 1
            continue
        crops.append(crop_face(frame[:, :, ::-1], faces_found[0].points_xy, analyzer.manifest.crop))
        times.append(time_s)
    faces = np.stack(crops)
    alone = _in_batches(analyzer, faces, faces)
    calm = np.argsort(alone.mean(axis=1))[:CALM_FRAMES]
    neutral = np.median(faces[calm], axis=0).astype(np.uint8)
    return np.array(times), _in_batches(analyzer, faces, np.broadcast_to(neutral, faces.shape)), missed


def _in_batches(analyzer: Analyzer, faces: np.ndarray, neutrals: np.ndarray) -> np.ndarray:
    starts = range(0, len(faces), 32)
    return np.concatenate([analyzer.analyse_crops(faces[i : i + 32], neutrals[i : i + 32])["au"] for i in starts])


def clip_checks(aus: Sequence[str], time_s: np.ndarray, presence: np.ndarray) -> list[dict[str, Any]]:
    """Whether the smile shows in the happy part and sadness in the sad one, with the means of both parts."""
    spans = json.loads(EXPECTED.read_text("utf-8"))["clip"]

    def mean(au: str, span: str) -> float:
        begin, end = spans[span]
        inside = (time_s >= begin) & (time_s <= end)
        return float(presence[inside, list(aus).index(au)].mean())

    checks = []
    for au in ("AU12", "AU06", *SAD_AUS):
        if au in aus:
            happy, sad = mean(au, "happiness_s"), mean(au, "sadness_s")
            expected = sad > happy if au in SAD_AUS else happy > sad
            checks.append({"au": au, "happiness": round(happy, 3), "sadness": round(sad, 3), "as_expected": expected})
    return checks


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"# Real faces: {report['package']}, {report['variant']} ({report['detector']})", ""]
    lines += ["Labelled by eye, not by certified coders; see benchmarks/studies/real_faces.json.", ""]
    lines += [
        "| AU | read as on | mean presence when on | read as off | mean presence when off |",
        "|---|---|---|---|---|",
    ]
    for row in report["photos"]["per_au"]:
        on = f"{row['hit']} of {row['on']}" if row["on"] else "-"
        off = f"{row['correct_off']} of {row['off']}" if row["off"] else "-"
        lines.append(f"| {row['au']} | {on} | {_dash(row['mean_on'])} | {off} | {_dash(row['mean_off'])} |")
    total = report["photos"]["total"]
    lines += ["", f"All: {total['right']} of {total['labels']} labels read as expected on {total['photos']} photos."]
    if report["clip"]:
        lines += ["", "| clip | happiness | sadness | as expected |", "|---|---|---|---|"]
        lines += [f"| {c['au']} | {c['happiness']} | {c['sadness']} | {c['as_expected']} |" for c in report["clip"]]
    wrong = [row for row in report["photos"]["rows"] if row["au"] and (row["presence"] >= 0.5) != bool(row["expected"])]
    lines += ["", "Read differently from the labels: " + "; ".join(_plain(row) for row in wrong)] if wrong else []
    return "\n".join(lines) + "\n"


def _plain(row: Mapping[str, Any]) -> str:
    return f"{row['photo']} face {row['face']} {row['au']} {row['presence']:.2f} ({'on' if row['expected'] else 'off'})"


def _dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-p", "--package", help="default: the one that ships with edgeau")
    parser.add_argument("--variant", default="fp32", help="default: %(default)s")
    parser.add_argument("--photos", type=Path, help="folder with the pictures named in real_faces.json")
    parser.add_argument("--clip", type=Path, help="the clip named there")
    parser.add_argument("--detector", help="yunet, haar or a path")
    parser.add_argument("--out", type=Path, required=True, help="folder for report.json.gz, report.md and clip.png")
    args = parser.parse_args()
    with load(args.package, variant=args.variant, detector=args.detector) as analyzer:
        rows = read_photos(analyzer, args.photos)
        labelled = [row for row in rows if row["au"]]
        right = sum((row["presence"] >= 0.5) == bool(row["expected"]) for row in labelled)
        total = {"photos": len({row["photo"] for row in rows}), "labels": len(labelled), "right": right}
        report: dict[str, Any] = {
            "package": analyzer.manifest.name,
            "provenance": analyzer.manifest.provenance,
            "variant": args.variant,
            "detector": analyzer.detector.name,
            "photos": {"total": total, "per_au": summarise(rows), "rows": rows},
            "clip": [],
        }
        if args.clip:
            time_s, presence, missed = read_clip(analyzer, args.clip)
            report["clip"] = clip_checks(analyzer.manifest.aus, time_s, presence)
            report["clip_frames"] = {"with_face": len(time_s), "without": missed}
            write_bytes(args.out / "clip.png", clip_curves(analyzer.manifest.aus, time_s, presence))
    write_records(args.out / "report.json.gz", report)
    write_text(args.out / "report.md", markdown(report))
    say(markdown(report))
    note(f"{args.out}/report.md, report.json.gz" + (", clip.png" if args.clip else ""))


if __name__ == "__main__":
    main()
