"""What two hosts say arrives once and in order, over anything that lets something through."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pipeline.hosts.conversation import UNNUMBERED, Conversation


class Side:
    """A side, its clock, and what it sent that is still on its way."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.sent: list[tuple[bytes, bytes]] = []
        self.heard: list[bytes] = []
        self.talk = Conversation(self._send, lambda: self.time_s)

    def _send(self, frames: Sequence[bytes]) -> None:
        number, body = frames
        self.sent.append((number, body))

    def hear(self, frames: tuple[bytes, bytes]) -> None:
        if self.talk.is_next(frames[0]):
            self.heard.append(frames[1])


@given(st.lists(st.binary(max_size=3), max_size=30), st.integers(0, 2**32))
def test_all_that_is_said_arrives_once_and_in_order(words: list[bytes], seed: int) -> None:
    rng, here, there = random.Random(seed), Side(), Side()
    waiting = [*words]
    for _ in range(400):
        if waiting and rng.random() < 0.3:
            here.talk.say(waiting.pop(0))
        for frames in here.sent:
            for _ in range(rng.choice([0, 1, 1, 2])):  # lost, or there twice after a break
                there.hear(frames)
        here.sent.clear()
        if rng.random() < 0.5:  # a beat that gets through
            here.talk.heard(there.talk.have)
        here.time_s += 0.25
    assert there.heard == words[: len(there.heard)]
    while waiting or here.talk.is_owed:
        if waiting:
            here.talk.say(waiting.pop(0))
        for frames in here.sent:
            there.hear(frames)
        here.sent.clear()
        here.talk.heard(there.talk.have)
        here.time_s += 0.25
    assert there.heard == words


def test_nothing_is_said_again_before_it_can_have_been_heard_back() -> None:
    here = Side()
    here.talk.say(b"go")
    here.talk.heard(0)
    here.time_s = 0.9
    here.talk.heard(0)
    assert len(here.sent) == 1
    here.time_s = 1.1
    here.talk.heard(0)
    assert len(here.sent) == 2


def test_a_count_of_what_was_never_said_is_passed_over() -> None:
    here = Side()
    here.talk.say(b"go")
    here.talk.heard(7)
    assert here.talk.is_owed


def test_what_has_no_number_is_no_word() -> None:
    assert not Side().talk.is_next(UNNUMBERED)
