"""Files that are no recordings of events: what they are, and what reads them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

import models
from pipeline.errors import PipelineError
from stages.datasets.labels import is_label_file
from stages.formats.recognition import LOOKED_AT_BYTES, recognise
from stages.sources.clip import open_clip
from stages.sources.clip_files import VIDEOS, pictures_in
from stages.sources.picture import PICTURES, read_picture
from stages.sources.picture_header import size_in_header
from stages.sources.text_file import read_texts

__all__ = ["what_it_is"]

_TEXTS = (".txt", ".csv", ".tsv")


def what_it_is(path: Path) -> str | None:
    """Return what a file or folder is, with what is in it if that is cheap to find; None: unknown.

    Example:
        >>> what_it_is(Path("recordings/images_simulated/star.png"))
        "a picture of 160×160 pixels; the stage 'images' shows it"
    """
    try:
        describe = _folder if path.is_dir() else _BY_ENDING.get(path.suffix.lower())
        return None if describe is None else describe(path)
    except (OSError, ValueError, PipelineError, models.ModelError):
        return None  # whatever its name says, it is none


def _folder(path: Path) -> str | None:
    pictures = pictures_in(path)
    if pictures:
        return (
            f"a folder of pictures ({len(pictures)}); the stage 'video' plays them as the frames of"
            " one, 'images' shows each by itself"
        )
    videos = sum(one.suffix.lower() in VIDEOS for one in path.iterdir())
    return f"a folder of videos ({videos}); the stage 'video' plays them" if videos else None


def _picture(path: Path) -> str | None:
    size = size_in_header(path)
    if size is None:
        picture = read_picture(path, "images")
        size = None if picture is None else picture.shape[:2]
    if size is None:
        return None
    return f"a picture of {size[1]}×{size[0]} pixels; the stage 'images' shows it"


def _video(path: Path) -> str:
    with open_clip(path) as clip:
        height, width = clip.size
        return (
            f"a video of {clip.announced} frames of {width}×{height} pixels at {clip.rate_hz:g} Hz;"
            " the stage 'video' plays it"
        )


def _volume(path: Path) -> str | None:
    values = np.lib.format.open_memmap(path, mode="r")
    if values.ndim != 3 or not values.size or values.dtype.kind not in "iuf":
        return None
    slices, height, width = values.shape
    return (
        f"a volume of {slices} slices of {width}×{height}, {values.dtype} from {values.min():g} to"
        f" {values.max():g}; the stage 'slices' plays it"
    )


def _text(path: Path) -> str | None:
    with path.open("rb") as file:
        begin = file.read(LOOKED_AT_BYTES)
    if b"\0" in begin or recognise(begin, path.stat().st_size) is not None:
        return None  # broken events, of which the reader has more to say
    if is_label_file(path):
        return "a label file; the option `labels` of the stages 'console' and 'jsonl' takes it"
    lines = sum(1 for line in read_texts(path, "lines") if line.strip())
    return f"a text of {lines} lines; the stage 'text' reads it" if lines else None


def _weights(path: Path) -> str:
    card = models.read_card(path)
    return f"weights of {card.network}; `pipeline models show {path}` tells more"


_BY_ENDING: dict[str, Callable[[Path], str | None]] = {
    **dict.fromkeys(PICTURES, _picture),
    **dict.fromkeys(VIDEOS, _video),
    **dict.fromkeys(_TEXTS, _text),
    ".npy": _volume,
    ".safetensors": _weights,
}
