"""Notes: one name a kind, declared once, and said whether it is a mistake."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import RecordingError
from stages.formats import Policies, notes, open_recording
from stages.formats.notes import MISTAKES, lost_to_damage
from stages.recordings.quality import quality_of

KINDS = {
    name: value for name, value in vars(notes).items() if name.isupper() and name != "MISTAKES"
}


def test_each_kind_has_a_name_of_its_own() -> None:
    assert len(set(KINDS.values())) == len(KINDS)
    assert set(KINDS) | {"MISTAKES", "lost_to_damage"} == set(notes.__all__)
    assert set(KINDS.values()) >= MISTAKES


def test_what_formats_skip_are_kinds_and_no_mistakes() -> None:
    from stages.formats import es_kernel, nmnist_kernel
    from stages.formats.prophesee import evt2_kernel, evt3_kernel, evt21_kernel

    for kernel in (es_kernel, nmnist_kernel, evt2_kernel, evt21_kernel, evt3_kernel):
        assert set(KINDS.values()) - MISTAKES >= set(kernel.SKIPPED)


@pytest.mark.parametrize(
    ("row", "policies", "refused", "found"),
    [
        ("2,1,1,1", Policies(), {}, {"going back in time": 1}),
        ("2,1,1,1", Policies(on_time_back="drop"), {"going back in time": 1}, {}),
        ("3,9,1,1", Policies(), {"outside the sensor": 1}, {}),
        ("3,9,1,1", Policies(on_outside="clamp"), {}, {"outside the sensor": 1}),
        ("3,1,1,7", Policies(), {"of unknown polarity": 1}, {}),
        ("3,1,1,7", Policies(on_unknown="raise"), {}, {"of unknown polarity": 1}),
        ("3,1", Policies(), {}, {"unknown words": 1}),
    ],
)
def test_a_mistake_is_counted_once_and_makes_a_recording_flawed(
    row: str, policies: Policies, refused: dict[str, int], found: dict[str, int], tmp_path: Path
) -> None:
    path = tmp_path / "some.csv"
    path.write_text(f"# t,x,y,p width=8 height=6\n1,1,1,1\n3,1,1,0\n{row}\n5,1,1,1\n")
    with open_recording(path, policies) as reader:
        try:
            events = sum(len(packet.events) for packet in reader.packets())
        except RecordingError:
            events = 0
        quality = quality_of(reader, events)
    assert (quality.verdict, quality.refused, quality.notes) == ("flawed", refused, found)


def test_silence_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("# t,x,y,p width=8 height=6\n1,1,1,1\n2000000,1,1,0\n9000000,1,1,1\n")
    with open_recording(path) as reader:
        events = sum(len(packet.events) for packet in reader.packets())
        assert (events, str(quality_of(reader, events))) == (3, "good: gaps: 2")


def test_damage_explains_what_is_missing_and_not_what_is_too_much() -> None:
    damage = Counter({"damaged places": 1})
    assert [lost_to_damage(missing, damage) for missing in (5, 0, -5)] == [5, 0, 0]
    assert lost_to_damage(5, {}) == 0
