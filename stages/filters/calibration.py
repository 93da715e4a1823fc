"""Calibration files: a camera's lens as common tools write it down, in JSON or YAML.

OpenCV and ROS    camera_matrix and distortion_coefficients (also K and D, or dist_coeffs), each a
                  plain list or {rows, cols, data}; image_width and image_height; distortion_model
                  (plumb_bob, rational_polynomial, equidistant, fisheye) or fisheye_model
Kalibr, DSEC      for each camera: intrinsics or camera_matrix [fx, fy, cx, cy], distortion_coeffs,
                  distortion_model (radtan, equidistant), resolution
dv-processing     cameras, and for each: focalLength, principalPoint, distortionCoefficients,
                  distortionModel (radialTangential, equidistant), resolution; numbers as texts

A file may hold several cameras, each in a table of its own.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.errors import ConfigError
from pipeline.registry import nearest
from stages.filters.lens import COEFFICIENTS, Lens
from stages.filters.small_file import read_small_file

__all__ = ["Calibration", "read_calibration"]

_MODELS: dict[str, Literal["radtan", "equidistant"]] = {
    "radtan": "radtan",
    "radial-tangential": "radtan",
    "radialtangential": "radtan",
    "plumb_bob": "radtan",
    "rational_polynomial": "radtan",
    "pinhole": "radtan",
    "none": "radtan",
    "equidistant": "equidistant",
    "fisheye": "equidistant",
    "kannala_brandt": "equidistant",
}

_MATRIX = ("camera_matrix", "cameraMatrix", "intrinsics", "K", "k", "focalLength")
_COEFFICIENTS = (
    "distortion_coefficients",
    "distortionCoefficients",
    "distortion_coeffs",
    "dist_coeffs",
    "dist_coeff",
    "D",
    "d",
)
_MODEL = ("distortion_model", "distortionModel")

_MAX_TABLES = 1000


class Calibration(NamedTuple):
    """A camera's lens, and the size of the sensor that it was measured with, where it is told."""

    lens: Lens
    width: int | None
    height: int | None


def read_calibration(path: Path, camera: str | None = None) -> Calibration:
    """Read the calibration of one camera.

    Args:
        path: the file.
        camera: the camera's name, or that of its table; may be left out if there is only one.

    Raises:
        ConfigError: the file cannot be read, is of no known layout, or has no such camera.
    """
    cameras = dict(_cameras(_load(path), "", set()))
    if not cameras:
        raise ConfigError(
            f"{path}: holds no calibration; it needs camera_matrix and distortion_coefficients, or"
            " is to be one of Kalibr's or dv-processing's"
        )
    if camera is None:
        if len(cameras) > 1:
            raise ConfigError(f"{path}: holds several cameras: {', '.join(cameras)}; set camera")
        (table,) = cameras.values()
    else:
        named = {str(t["name"]): t for t in cameras.values() if "name" in t} | cameras
        if camera not in named:
            raise ConfigError(f"{path}: has no camera '{camera}'{nearest(camera, named)}")
        table = named[camera]
    try:
        return _calibration(table)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _load(path: Path) -> Any:
    text = read_small_file(path)
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: is not valid JSON: {error}") from None
    import yaml

    # The safe loader, which takes also what OpenCV marks its matrices with: a type of its own.
    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor(
        "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, True)
    )
    lines = text.splitlines(keepends=True)
    # OpenCV begins with %YAML:1.0, which YAML itself would write as %YAML 1.0.
    if lines and lines[0].startswith("%YAML"):
        del lines[0]
    try:
        return yaml.load("".join(lines), loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: is neither YAML nor JSON: {reason}") from None


def _cameras(table: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables that are calibrations, each with its place in the file."""
    # A table that YAML aliases is one table, and is looked at once.
    if not isinstance(table, Mapping) or id(table) in seen or len(seen) > _MAX_TABLES:
        return
    seen.add(id(table))
    if any(key in table for key in _MATRIX) and any(key in table for key in _COEFFICIENTS):
        yield name or "camera", table
        return
    for key, inner in table.items():
        yield from _cameras(inner, f"{name}.{key}".lstrip("."), seen)


def _calibration(table: Mapping[str, Any]) -> Calibration:
    fx, fy, cx, cy = _intrinsics(table)
    for key, value in (("fx", fx), ("fy", fy)):
        if value <= 0:
            raise ValueError(f"the focal length {key} must be > 0, got {value:g}")
    coefficients = _numbers(table, *_COEFFICIENTS)
    model = _model(table)
    allowed = COEFFICIENTS[model]
    while len(coefficients) not in allowed and coefficients and coefficients[-1] == 0:
        coefficients = coefficients[:-1]
    if not coefficients:
        coefficients = (0.0,) * 4
    if len(coefficients) not in allowed:
        raise ValueError(
            f"the {model} model has {' or '.join(map(str, allowed))} coefficients,"
            f" got {len(coefficients)}"
        )
    width, height = _size(table)
    return Calibration(Lens(fx, fy, cx, cy, model, coefficients), width, height)


def _intrinsics(table: Mapping[str, Any]) -> tuple[float, float, float, float]:
    if "focalLength" in table:
        (fx, fy), (cx, cy) = (_sized(table, 2, key) for key in ("focalLength", "principalPoint"))
        return fx, fy, cx, cy
    matrix = _numbers(table, *_MATRIX)
    if len(matrix) == 4:
        fx, fy, cx, cy = matrix
    elif len(matrix) == 9:
        fx, skew, cx, _, fy, cy = matrix[:6]
        if skew:
            raise ValueError(f"the camera matrix has a skew of {skew:g}, which is not supported")
    else:
        raise ValueError(f"the camera matrix must have 9 or 4 numbers, got {len(matrix)}")
    return fx, fy, cx, cy


def _model(table: Mapping[str, Any]) -> Literal["radtan", "equidistant"]:
    projection = str(table.get("camera_model", "pinhole"))
    if projection != "pinhole":
        raise ValueError(f"camera_model must be pinhole, got {projection!r}")
    if str(table.get("fisheye_model", 0)).lower() in ("1", "true"):
        return "equidistant"
    name = next((str(table[key]) for key in _MODEL if table.get(key)), "radtan")
    model = _MODELS.get(name.lower())
    if model is None:
        raise ValueError(f"distortion model {name!r} is not known{nearest(name, _MODELS)}")
    return model


def _size(table: Mapping[str, Any]) -> tuple[int | None, int | None]:
    for keys in (("image_width", "image_height"), ("width", "height")):
        if all(key in table for key in keys):
            width, height = (_sized(table, 1, key)[0] for key in keys)
            return round(width), round(height)
    if "resolution" in table:
        width, height = _sized(table, 2, "resolution")
        return round(width), round(height)
    return None, None


def _sized(table: Mapping[str, Any], count: int, key: str) -> tuple[float, ...]:
    numbers = _numbers(table, key)
    if len(numbers) != count:
        raise ValueError(f"{key} must have {count} numbers, got {len(numbers)}")
    return numbers


def _numbers(table: Mapping[str, Any], *keys: str) -> tuple[float, ...]:
    """Return the numbers below the first of the keys that is there."""
    key = next((key for key in keys if key in table), keys[0])
    value = table.get(key)
    if isinstance(value, Mapping):
        value = value.get("data")
    try:
        numbers = tuple(float(each) for each in _flat(value))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{key} must be numbers, got {str(value)[:60]!r}") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{key} must be finite numbers, got {str(value)[:60]!r}")
    return numbers


def _flat(value: Any) -> Iterator[Any]:
    if value is None:
        return
    for each in value if isinstance(value, list) else [value]:
        yield from each if isinstance(each, list) else [each]
