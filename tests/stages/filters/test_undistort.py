"""Undistortion: calibration files of several tools, and events moved by them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from streams import account, event_arrays, recording, rows, through

from pipeline.errors import ConfigError, StageError
from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from pipeline.stage import PortError
from stages.filters.calibration import Calibration, read_calibration
from stages.filters.lens import Lens, undistorted_pixels
from stages.filters.undistort import Undistort, UndistortConfig

LENS_FILE = Path(__file__).with_name("lens.json")
LENS = Lens(8, 8, 3.5, 2.5, "radtan", (-0.4, 0.1, 0, 0))

OPENCV = """%YAML:1.0
---
calibration_time: "Thu 01 Jan 2026"
image_width: 346
image_height: 260
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 2.5e+02, 0., 1.73e+02, 0., 2.51e+02,
       1.3e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -3.5e-01, 1.2e-01, 1e-04, -2.0e-04, 0. ]
"""
ROS = """
image_width: 346
image_height: 260
camera_name: davis
distortion_model: plumb_bob
camera_matrix: {rows: 3, cols: 3, data: [250, 0, 173, 0, 251, 130, 0, 0, 1]}
distortion_coefficients: {rows: 1, cols: 5, data: [-0.35, 0.12, 0.0001, -0.0002, 0]}
"""
KALIBR = """
cam0:
  camera_model: pinhole
  intrinsics: [250, 251, 173, 130]
  distortion_model: radtan
  distortion_coeffs: [-0.35, 0.12, 0.0001, -0.0002]
  resolution: [346, 260]
cam1:
  camera_model: pinhole
  intrinsics: [300, 301, 170, 131]
  distortion_model: equidistant
  distortion_coeffs: [0.1, 0, 0, 0]
  resolution: [346, 260]
"""
DSEC = """
intrinsics:
  cam0:
    camera_matrix: [250, 251, 173, 130]
    distortion_coeffs: [-0.35, 0.12, 0.0001, -0.0002]
    distortion_model: radtan
    resolution: [346, 260]
"""
DV = """{"version": "2.0", "cameras": {"C0": {
    "name": "DAVIS346_1", "master": "true", "resolution": ["346", "260"],
    "principalPoint": ["173", "130"], "focalLength": ["250", "251"],
    "distortionCoefficients": ["-0.35", "0.12", "0.0001", "-0.0002", "0"],
    "distortionModel": "radialTangential"}}}"""


def written(folder: Path, text: str) -> Path:
    path = folder / "calibration"
    path.write_text(text)
    return path


def undistort(sensor: EventsPort | None = None, **options: Any) -> Undistort:
    config = UndistortConfig(**{"file": LENS_FILE, **options})
    return Undistort("flat", config, [sensor or EventsPort(8, 6)])


@pytest.mark.parametrize(
    ("text", "camera"),
    [(OPENCV, None), (ROS, None), (KALIBR, "cam0"), (DSEC, None), (DV, None), (DV, "DAVIS346_1")],
    ids=["OpenCV", "ROS", "Kalibr", "DSEC", "dv-processing", "dv-processing by name"],
)
def test_the_files_of_common_tools_say_the_same(
    tmp_path: Path, text: str, camera: str | None
) -> None:
    (lens, *size) = read_calibration(written(tmp_path, text), camera)
    assert size == [346, 260]
    assert lens.coefficients[:4] == (-0.35, 0.12, 0.0001, -0.0002)
    assert (lens.fx, lens.fy, lens.cx, lens.cy, lens.model) == (250, 251, 173, 130, "radtan")


def test_fisheyes_are_told_apart(tmp_path: Path) -> None:
    kalibr = read_calibration(written(tmp_path, KALIBR), "cam1")
    assert kalibr.lens == Lens(300, 301, 170, 131, "equidistant", (0.1, 0, 0, 0))
    opencv = OPENCV.replace("rows: 5", "rows: 4").replace(", 0. ]", " ]") + "fisheye_model: 1\n"
    assert read_calibration(written(tmp_path, opencv)).lens.model == "equidistant"


def test_reads_what_dv_processing_writes(tmp_path: Path) -> None:
    dv = pytest.importorskip("dv_processing")
    camera = dv.camera.calibrations.CameraCalibration(
        "DVX_1",
        "left",
        True,
        (640, 480),
        (320.5, 240.25),
        (400.0, 401.0),
        [0.125, -0.0625, 0.25, 0.5],
        dv.camera.DistortionModel.EQUIDISTANT,
        dv.kinematics.Transformationf(),
        None,
    )
    cameras = dv.camera.CalibrationSet()
    cameras.addCameraCalibration(camera)
    path = tmp_path / "calibration.json"
    cameras.writeToFile(str(path))
    lens = Lens(400, 401, 320.5, 240.25, "equidistant", (0.125, -0.0625, 0.25, 0.5))
    assert read_calibration(path) == Calibration(lens, 640, 480)


SIMPLE = {"K": [8, 8, 3.5, 2.5], "D": [0, 0, 0, 0]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not valid JSON: "),
        ("a: [1, 2", "is neither YAML nor JSON: while parsing a flow sequence"),
        ("a: !!python/object:os.system {}", "is neither YAML nor JSON: could not determine"),
        ("just words", "holds no calibration; it needs camera_matrix and distortion_coeff"),
        (KALIBR, "holds several cameras: cam0, cam1; set camera"),
        (json.dumps(SIMPLE | {"K": [8, 1, 3, 0, 8, 2, 0, 0, 1]}), "has a skew of 1, which is not"),
        (json.dumps(SIMPLE | {"K": [8, 8]}), "the camera matrix must have 9 or 4 numbers, got 2"),
        (json.dumps(SIMPLE | {"K": [0, 8, 3, 2]}), "the focal length fx must be > 0, got 0"),
        (json.dumps(SIMPLE | {"K": "wide"}), "K must be numbers, got 'wide'"),
        (json.dumps(SIMPLE | {"D": [float("nan")] * 4}), "D must be finite numbers, got"),
        (json.dumps(SIMPLE | {"D": [1] * 14}), "the radtan model has 4 or 5 or 8 coeff.* got 14"),
        (json.dumps(SIMPLE | {"distortion_model": "fisheyes"}), "did you mean 'fisheye'?"),
        (json.dumps(SIMPLE | {"camera_model": "omni"}), "camera_model must be pinhole, got 'omni'"),
        (json.dumps(SIMPLE | {"resolution": [8]}), "resolution must have 2 numbers, got 1"),
        (json.dumps(SIMPLE | {"width": "?", "height": 6}), "width must be numbers, got '?'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=problem):
        read_calibration(path)
    with pytest.raises(PortError, match=problem) as caught:
        undistort(file=path).port()
    assert caught.value.key == "file"


def test_an_unknown_camera_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="has no camera 'cam2'; did you mean 'cam1'"):
        undistort(file=written(tmp_path, KALIBR), camera="cam2").port()


def test_tables_that_alias_each_other_end(tmp_path: Path) -> None:
    lines = ["l0: &l0 {a: 1}"]
    for level in range(1, 12):
        members = ", ".join(f"m{n}: *l{level - 1}" for n in range(12))
        lines.append(f"l{level}: &l{level} {{{members}}}")
    with pytest.raises(ConfigError, match="holds no calibration"):
        read_calibration(written(tmp_path, "\n".join(lines)))


def test_a_calibration_of_another_sensor_is_refused() -> None:
    with pytest.raises(PortError, match="is for a sensor of 8×6, this one has 128×128"):
        undistort(EventsPort(128, 128)).port()
    stage = undistort(EventsPort(None, None))
    stage.port()
    with pytest.raises(StageError, match=r"stage 'flat': file: .* is for a sensor of 8×6"):
        through([stage], recording(events_from_columns([0], [0], [0], [0]), width=9))


@settings(max_examples=40)
@given(event_arrays())
def test_events_go_to_the_nearest_pixel_or_leave(events: EventArray) -> None:
    u, v = undistorted_pixels(LENS, 8, 6)
    expected = []
    for t, x, y, p in events.tolist():
        column, row = round(u[y, x]), round(v[y, x])
        if 0 <= column < 8 and 0 <= row < 6:
            expected.append((t, column, row, p))
    out = rows(through([undistort()], recording(events)))
    assert out.tolist() == expected
    refused = account(undistort(), list(recording(events))).refused
    assert refused == {
        "outside the sensor": 0,
        "leaving the sensor": len(events) - len(expected),
    }


def test_the_lens_of_the_tests_moves_some_pixels_and_loses_some() -> None:
    y, x = np.mgrid[:6, :8].reshape(2, -1)
    events = events_from_columns(np.zeros(48), x, y, x % 2)
    out = rows(through([undistort()], recording(events)))
    assert 20 < len(out) < 48
    assert set(zip(out["x"].tolist(), out["y"].tolist(), strict=True)) != set(
        zip(x.tolist(), y.tolist(), strict=True)
    )
