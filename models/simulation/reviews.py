"""Film reviews drawn from a small grammar: the mood is in few words, and negation turns them.

A review is a run of sentences. Most say nothing about how good the film is; the others do, in the
review's mood for the most part, and the last one always does. A word of praise after "not" blames,
so counting words of praise is not enough, and word order matters.
"""

import re

import numpy as np

__all__ = ["write_review"]


def _split(text: str, by: str = " ") -> tuple[str, ...]:
    return tuple(text.split(by))


_GOOD = _split(
    "good great wonderful brilliant moving funny clever gripping beautiful charming superb fresh"
    " touching smart delightful memorable powerful elegant"
)
_BAD = _split(
    "bad boring dull terrible stupid clumsy predictable awful weak flat annoying tedious silly"
    " lifeless messy shallow forgettable pointless"
)
_NOUNS = _split(
    "film movie story plot acting script music ending dialogue photography direction cast humour"
    " pace beginning middle finale idea"
)
_PLAIN = (
    "I saw it {when} with {whom}.",
    "The film was made in {year} and runs for about {minutes} minutes.",
    "It is about {who} who {does} in {where}.",
    "{who} {does} and then goes to {where}.",
    "The {noun} is by the people who made another {noun} in {year}.",
    "We watched it {when} at {where}.",
    "There is a scene in {where} where {who} {does}.",
    "My {friend} had read the book in {year}.",
    "Then {who} comes back from {where}.",
)
_MOODS = (
    "The {noun} was {word}.",
    "I found the {noun} really {word}.",
    "What a {word} {noun}!",
    "The {noun} is {word} from start to end.",
    "Most of all the {noun} seemed {word} to me.",
    "A {word} {noun} and a {word2} {noun2}.",
)
_NEGATED = (
    "The {noun} was not {word}.",
    "I did not find the {noun} {word} at all.",
    "This is never a {word} {noun}.",
    "Nobody could call the {noun} {word}.",
    "The {noun} isn't {word}, whatever they say.",
)
_WORDS = {
    "when": _split("last night,on Sunday,years ago,yesterday,in the summer", ","),
    "whom": _split("my brother,two friends,my wife,my husband,the children,nobody else", ","),
    "who": _split("a young man,an old sailor,a teacher,two sisters,a detective,the king", ","),
    "does": _split("loses a letter,finds a map,looks for work,meets a stranger,opens a shop", ","),
    "where": _split("Paris,a small town,the desert,an old house,the city,the mountains", ","),
    "friend": _split("friend,sister,uncle,neighbour,teacher", ","),
}


def write_review(positive: bool, rng: np.random.Generator) -> str:
    """Write a review of 30 to 150 words.

    Args:
        positive: its mood.
        rng: Draws everything else.
    """
    length = int(rng.integers(25, 135))
    sentences: list[str] = []
    while sum(len(sentence.split()) for sentence in sentences) < length:
        if rng.random() < 0.35:
            # One in ten goes against the grain, as people do weigh things up.
            sentences.append(_opinion(positive != (rng.random() < 0.1), rng))
        else:
            sentences.append(_fill(_pick(_PLAIN, rng), rng))
    sentences.append(_opinion(positive, rng))
    text = sentences[0]
    for sentence in sentences[1:]:
        text += ("<br /><br />" if rng.random() < 0.08 else " ") + sentence
    return text


def _opinion(positive: bool, rng: np.random.Generator) -> str:
    negated = rng.random() < 0.3
    words = _GOOD if positive != negated else _BAD
    return _fill(_pick(_NEGATED if negated else _MOODS, rng), rng, words)


def _fill(sentence: str, rng: np.random.Generator, moods: tuple[str, ...] = ("",)) -> str:
    chosen = {key: _pick(options, rng) for key, options in _WORDS.items()}
    text = sentence.format(
        noun=_pick(_NOUNS, rng),
        noun2=_pick(_NOUNS, rng),
        word=_pick(moods, rng),
        word2=_pick(moods, rng),
        year=int(rng.integers(1950, 2020)),
        minutes=int(rng.integers(80, 150)),
        **chosen,
    )
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[0].upper() + text[1:]


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
