"""Action units live from a camera, or from a video file.

python examples/webcam.py                 # the first camera, in a window; q closes it
python examples/webcam.py clip.mp4        # a video file instead
python examples/webcam.py clip.mp4 --no-window
"""

from __future__ import annotations

import argparse

import cv2

from edgeau.runtime import Face, Faces, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="0", help="a camera's number, or a video file")
    parser.add_argument("--no-window", action="store_true", help="print only")
    args = parser.parse_args()
    capture = cv2.VideoCapture(int(args.source) if args.source.isdigit() else args.source)
    if not capture.isOpened():
        parser.error(f"can't open {args.source}")
    with load() as analyzer:
        print(f"{analyzer.choice.variant} on {analyzer.choice.backend}: {analyzer.choice.reason}")
        while True:
            ok, frame_bgr = capture.read()
            if not ok:
                break
            faces = analyzer(frame_bgr)
            for face in faces:
                print(describe(face))
            if not args.no_window:
                cv2.imshow("edgeau", draw(frame_bgr, faces))
                if cv2.waitKey(1) == ord("q"):
                    break
    capture.release()


def describe(face: Face) -> str:
    """One line: the face's number and the action units that are present, strongest first."""
    present = sorted((name for name in face.au if face.present[name]), key=lambda name: -face.au[name])
    text = " ".join(f"{name} {face.au[name]:.2f}" for name in present) or "none"
    return f"face {face.track_id}: {text}" + ("" if face.neutral_ready else "  (neutral not known yet)")


def draw(frame_bgr: cv2.Mat, faces: Faces) -> cv2.Mat:
    for face in faces:
        left, top, right, bottom = (round(value) for value in face.box_xyxy)
        cv2.rectangle(frame_bgr, (left, top), (right, bottom), (0, 200, 0), 2)
        cv2.putText(frame_bgr, describe(face), (left, top - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 200, 0), 1)
    return frame_bgr


if __name__ == "__main__":
    main()
