"""A stage that fails again and again ends its run, also if it gets a bit further each time."""

from pathlib import Path

from command_line import CommandLine

REPOSITORY = Path(__file__).parents[3]


def test_a_stage_that_always_fails_is_given_up(tmp_path: Path, command_line: CommandLine) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        f"""
        [checkpoint]
        directory = "kept"
        interval_s = 0.02
        [supervision]
        restarts = 2
        backoff_s = 0.01
        [[stage]]
        name = "camera"
        use = "replay"
        path = "{REPOSITORY}/recordings/gestures_simulated.aedat4"
        stop_us = 2_000_000
        speed = 4.0
        [[stage]]
        name = "broken"
        use = "fault_raise"
        marks = "marks"
        from_us = 500_000
        times = 100
        [[stage]]
        name = "file"
        use = "record"
        path = "copy.aedat4"
        """
    )
    ended = command_line("run", file)
    assert ended.code == 1
    assert ended.err.count("stage 'broken': failed on purpose; going on from checkpoint") == 2
    assert "failed on purpose; given up after 2 restarts, the last from checkpoint" in ended.err
    assert "; mend it, then go on with --resume\n" in ended.err
