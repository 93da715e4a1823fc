"""The folder of an evaluation: what is finished stays, whatever happens."""

from pathlib import Path

import pytest
from evaluations import result

from pipeline.errors import ConfigError
from stages.evaluation.results import REPORT, RESULTS, Request, Results, read_results

ASKED = Request("digits", "digits.toml", [], "decision", "set", "all", ["a", "b"], 3, "rate", "1")
OTHER = Request("digits", "digits.toml", [], "decision", "set", "all", ["a", "b"], 3, "rate", "2")


def begin(tmp_path: Path, count: int) -> Path:
    with Results.open(None, tmp_path, ASKED, fresh=False) as results:
        for k in range(count):
            results.add(result(k, 0, [1.0, 0.0]))
        return results.folder


def test_what_was_done_is_there_when_it_goes_on(tmp_path: Path) -> None:
    folder = begin(tmp_path, 2)
    with Results.open(None, tmp_path, ASKED, fresh=False) as results:
        assert results.folder == folder
        assert [one.item for one in results.done] == [0, 1]
        assert results.done[1] == result(1, 0, [1.0, 0.0])


@pytest.mark.parametrize("cut", [1, 40])
def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path: Path, cut: int) -> None:
    folder = begin(tmp_path, 3)
    whole = (folder / RESULTS).read_bytes()
    (folder / RESULTS).write_bytes(whole[:-cut])
    with Results.open(None, tmp_path, ASKED, fresh=False) as results:
        assert [one.item for one in results.done] == [0, 1]
        results.add(result(2, 0, [1.0, 0.0]))
    assert (folder / RESULTS).read_bytes() == whole


def test_a_finished_one_and_another_one_get_a_new_folder(tmp_path: Path) -> None:
    first = begin(tmp_path, 1)
    with Results.open(None, tmp_path, OTHER, fresh=False) as results:
        assert results.folder != first
        assert results.done == []
    (first / REPORT).write_text("{}")
    assert begin(tmp_path, 1) != first


def test_fresh_starts_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Results.open(out, tmp_path, ASKED, fresh=False) as results:
        results.add(result(0, 0, [1.0, 0.0]))
    (out / REPORT).write_text("{}")
    with Results.open(out, tmp_path, OTHER, fresh=True) as results:
        assert results.done == []
    assert not (out / REPORT).exists()


def test_results_of_two_requests_are_not_mixed(tmp_path: Path) -> None:
    with Results.open(tmp_path, tmp_path, ASKED, fresh=False):
        pass
    with (
        pytest.raises(ConfigError, match=r"holds another evaluation, of digits\.toml on set"),
        Results.open(tmp_path, tmp_path, OTHER, fresh=False),
    ):
        pass


def test_only_a_finished_one_is_read(tmp_path: Path) -> None:
    folder = begin(tmp_path, 2)
    with pytest.raises(ConfigError, match="holds no finished evaluation"):
        read_results(folder)
    (folder / REPORT).write_text("{}")
    request, found = read_results(folder)
    assert request == ASKED
    assert [one.item for one in found] == [0, 1]
