"""What a user would write without edgeau: OpenCV reads, YuNet searches every frame, ONNX Runtime runs the model.

It is the other side of ``runtime_speed.py``, and uses nothing of edgeau: the crop is a similarity by OpenCV, and a
model on difference images compares each face with the first.

    python plain_script.py CLIP MODEL.onnx YUNET.onnx OUT.csv
"""

from __future__ import annotations

import csv
import json
import sys
import time

import cv2
import numpy as np
import onnxruntime as ort

TEMPLATE = np.array([[0.330, 0.360], [0.670, 0.360], [0.500, 0.553], [0.360, 0.752], [0.640, 0.752]], np.float32) * 112
WARM_UP_FRAMES = 50


def main(clip: str, model: str, yunet: str, out: str) -> None:
    session = ort.InferenceSession(model)
    names = [value.name for value in session.get_inputs()]
    capture = cv2.VideoCapture(clip)
    detector: cv2.FaceDetectorYN | None = None
    neutral: np.ndarray | None = None
    finished: list[float] = []
    with open(out, "w", newline="") as file:
        writer = csv.writer(file)
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            if detector is None:
                detector = cv2.FaceDetectorYN.create(yunet, "", (frame.shape[1], frame.shape[0]), 0.7)
            _, faces = detector.detect(frame)
            for face in faces if faces is not None else ():
                matrix, _ = cv2.estimateAffinePartial2D(face[4:14].reshape(5, 2), TEMPLATE, method=cv2.LMEDS)
                crop = cv2.cvtColor(cv2.warpAffine(frame, matrix, (112, 112)), cv2.COLOR_BGR2RGB)[None]
                neutral = crop if neutral is None else neutral
                inputs = {name: neutral if name == "neutral" else crop for name in names}
                au = session.run(None, inputs)[0][0]
                writer.writerow([len(finished), *face[:4], *au])
            finished.append(time.perf_counter())
    steady = (len(finished) - WARM_UP_FRAMES) / (finished[-1] - finished[WARM_UP_FRAMES - 1])
    sys.stdout.write(json.dumps({"frames": len(finished), "steady_per_s": steady}))


if __name__ == "__main__":
    main(*sys.argv[1:])
