"""The header of RAW and DAT recordings: where it ends, and how large the sensor is."""

from pathlib import Path

import pytest
from resuming import read
from word_files import raw_file

from pipeline.errors import RecordingError
from stages.formats import open_recording
from stages.formats.prophesee.raw_header import encode_header, read_header

SIZES = {
    "evt 3.0\nformat EVT3;height=720;width=1280": (720, 1280),
    "evt 3.0\nformat EVT3; height = 320; width = 300": (320, 300),
    "evt 2.0\ngeometry 304x240": (240, 304),
    "Version 2\nHeight 240\nWidth 304": (240, 304),
    "evt 2.0\nplugin_name hal_plugin_gen3_fx3\nsystem_ID 21": (480, 640),
    "evt 2.0\nplugin_name evc3a_plugin_gen31": (480, 640),
    "evt 3.0\nplugin_name hal_plugin_gen41_evk3\nsystem_ID 48": (720, 1280),
    "evt 3.0\nplugin_name hal_plugin_imx636_evk4": (720, 1280),
    "evt 2.1\nplugin_name hal_plugin_prophesee\nsensor_name GenX320": (320, 320),
    "evt 3.0\nsensor_generation 4.2": (720, 1280),
    "evt 2.0\ngeneration 3.1": (480, 640),
    "evt 2.0\nsystem_ID 28": (480, 640),
    "evt 3.0\nsystem_ID 49": (720, 1280),
    "evt 3.0\nsystem_ID 1": None,
    "evt 3.0": None,
}


def header(text: str) -> bytes:
    return "".join(f"% {line}\n" for line in text.split("\n")).encode()


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_the_sensor_is_found_wherever_it_is_told(text: str, size: tuple[int, int] | None) -> None:
    assert read_header(header(text)).size() == size


@pytest.mark.parametrize("last", [b"", b"% end\n", b"%end\n"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("data", [b"", b"\x01\x02", b"% \x01\x80\n", b"%\n\x01\x02"])
def test_the_header_ends_where_lines_of_text_end(last: bytes, newline: bytes, data: bytes) -> None:
    lines = (b"% evt 3.0\n% serial_number 0307\n" + last).replace(b"\n", newline)
    found = read_header(lines + data)
    if last.startswith(b"%end"):
        lines = lines[: -len(last.replace(b"\n", newline))]
    assert found.length == len(lines)
    assert found.fields == {"evt": "3.0", "serial_number": "0307"}
    assert found.source() == "Prophesee 0307"


def test_nothing_behind_the_last_line_is_taken_for_a_line() -> None:
    text = header("evt 3.0\nend")
    assert read_header(text + b"% as text\n").length == len(text)


def test_values_become_one_printable_line_each() -> None:
    assert encode_header({"source": " my\ncamera \0 x "}, "% end\n") == (
        b"% source my camera x\n% end\n"
    )


def test_without_a_size_what_has_events_is_measured(tmp_path: Path) -> None:
    words = [0x8001, 0x0007, 0x2009, 0x0003, 0x2010]
    path = raw_file(tmp_path / "a.raw", "evt 3.0", words)
    with open_recording(path) as reader:
        assert (reader.declared_size, reader.size) == (None, (8, 17))
    with open_recording(path, size=(100, 200)) as reader:
        assert reader.size == (100, 200)


ERRORS = {
    "geometry wide": "the sensor has wide× px, must be 1 to 32768 each",
    "geometry 0x5": "the sensor has 0×5 px, must be 1 to 32768 each",
    "time_offset_us 5": "time_offset_us must be a multiple of 16777216, got '5'",
    "time_offset_us 9999999999999999999999": "time_offset_us must be a multiple of 16777216, got",
    "note " + "x" * 70_000: "it has more than 65536 bytes",
}


@pytest.mark.parametrize(("line", "error"), ERRORS.items(), ids=range(len(ERRORS)))
def test_a_header_that_makes_no_sense_is_refused(line: str, error: str, tmp_path: Path) -> None:
    path = raw_file(tmp_path / "a.raw", f"evt 3.0\n{line}", [])
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value).startswith(f"{path}: its EVT3 header is damaged: {error}")


RECOGNISED = {
    "evt 2.0": "EVT2",
    "evt 2.1": "EVT2.1",
    "format EVT21": "EVT2.1",
    "format EVT21;height=5;width=5": "EVT2.1",
    "format EVT2;height=5;width=5": "EVT2",
    "evt 3.0\nformat EVT3": "EVT3",
    "Date 2014-02-28\nsystem_ID 28": "EVT2",
}


@pytest.mark.parametrize(("lines", "name"), RECOGNISED.items())
def test_the_header_names_the_format_and_not_the_file(
    lines: str, name: str, tmp_path: Path
) -> None:
    path = raw_file(tmp_path / "a.txt", lines, [0, 0, 0, 0])
    with open_recording(path, size=(5, 5)) as reader:
        assert reader.format == name
        assert len(read(path)) == 0
