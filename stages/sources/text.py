"""Texts: the source that reads them word by word, one time step each.

Every text is a recording of its own, of ``steps`` steps, and is called FILE#NUMBER, from 0 on. The
step of a word has no length in time; step k is said to be the k-th microsecond.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import ConfigError, RecordingError
from pipeline.messages import EndRecording, Frames, Message, Start, Windows, control, data
from pipeline.ports import FramesPort, Words
from pipeline.stage import Account, Played, PortError, Source, StageConfig
from stages.sources.text_file import Layout, read_texts
from stages.sources.vocabulary import Encoded, Vocabulary, read_vocabulary, tokenise

__all__ = ["Text", "TextConfig", "TextState"]


_MADE_BY = (
    "; `pipeline train` writes it with weights, `pipeline models new --for PIPELINE.toml` with"
    " untrained ones"
)


class TextConfig(StageConfig):
    """Options of `text`."""

    path: FilePath | list[FilePath]
    """The file of texts, or a list of files."""
    layout: Layout = "lines"
    """``lines``: a text a line; ``csv``: comma-separated with a header; ``tsv``: tab-separated
    without a header and without quotes."""
    column: str | Annotated[int, Field(ge=0)] | None = None
    """Which field is the text: of ``csv`` its name, of ``tsv`` its number from 0 on; the first
    when left out."""
    vocabulary: FilePath
    """The words that the network was trained with: a text file of one word a line."""
    steps: int = Field(500, ge=1, le=1_000_000)
    """Steps of a text: a longer one is cut, a shorter one padded in front."""
    batch_steps: int = Field(500, ge=1, le=1_000_000)
    """Steps in a message, at most; it never changes the result."""


class TextState(NamedTuple):
    """Where the source is, and what became of the words of the texts begun."""

    text: int
    """The text being read, counted through all files."""
    within: bool
    """Whether it was begun."""
    offset: int
    """Its steps sent."""
    sent: int
    """Steps sent in all."""
    words: int
    cut: int
    unknown: int
    empty: int
    """Texts without a word."""


class Text(Source[TextConfig, TextState]):
    """Read texts, such as reviews, a word a step."""

    Config = TextConfig

    def port(self) -> FramesPort:
        """Look into the files and the vocabulary."""
        config = self.config
        kind = {"lines": None, "csv": str, "tsv": int}[config.layout]
        if config.column is not None and type(config.column) is not kind:
            meant = {None: "left out", str: "a name", int: "a number"}[kind]
            raise PortError(
                "column", f'must be {meant} with layout = "{config.layout}", got {config.column!r}'
            )
        try:
            for path in self._paths():
                if not any(map(tokenise, read_texts(path, config.layout, config.column))):
                    raise RecordingError(f"{path}: holds no word; name a file of texts")
        except RecordingError as error:
            raise PortError("path", str(error)) from None
        try:
            vocabulary = read_vocabulary(config.vocabulary)
        except ConfigError as error:
            hint = "" if config.vocabulary.exists() else _MADE_BY
            raise PortError("vocabulary", f"{error}{hint}") from None
        words = Words(config.vocabulary, vocabulary.ids, vocabulary.sha256)
        return FramesPort(1, 1, 1, None, None, "tokens", "text", config.steps, words)

    def learn_vocabulary(self) -> None:
        """Write the most frequent words of its own texts as the vocabulary.

        Raises:
            RecordingError: a text cannot be read, or the file cannot be written.
        """
        path = self.config.vocabulary
        vocabulary = Vocabulary.of(text for _, text in self._texts())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            vocabulary.write(path)
        except OSError as error:
            raise RecordingError(
                f"{path}: cannot be written: {error.strerror}; name another vocabulary"
            ) from None

    def initial_state(self) -> TextState:
        """Return the place before the first text."""
        return TextState(0, False, 0, 0, 0, 0, 0, 0)

    def play(self, state: TextState) -> Iterator[Played[TextState]]:
        """Yield the texts from ``state`` on."""
        vocabulary = read_vocabulary(self.config.vocabulary)
        for number, (place, text) in enumerate(self._texts()):
            if number < state.text:
                continue
            encoded = vocabulary.encode(text, self.config.steps)
            if not state.within:
                state = _begin(state, encoded)
                yield Played([self._start(state, place)], state)
            while state.offset < self.config.steps:
                message = self._message(state, encoded)
                count = len(message.array)
                state = state._replace(offset=state.offset + count, sent=state.sent + count)
                yield Played([message], state)
            ending = control(EndRecording(stream=self.name, epoch=state.text))
            state = state._replace(text=state.text + 1, within=False, offset=0)
            yield Played([ending], state)

    def account(self, state: TextState) -> Account:
        """Return the words of the texts begun, and the steps made and due."""
        return Account(
            taken=state.words,
            used=state.words - state.cut,
            made=state.sent,
            unit_in="words",
            unit_out="tokens",
            refused={"behind the last step": state.cut},
            due=state.text * self.config.steps + state.offset,
            notes={"not in the vocabulary": state.unknown, "texts without a word": state.empty},
        )

    def _paths(self) -> list[Path]:
        paths = self.config.path if isinstance(self.config.path, list) else [self.config.path]
        if not paths:
            raise RecordingError("the list is empty; name at least one file of texts")
        return paths

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Yield each text behind its place: the file and the text's number in it, from 0 on."""
        for path in self._paths():
            texts = read_texts(path, self.config.layout, self.config.column)
            for number, text in enumerate(texts):
                yield f"{path}#{number}", text

    def _start(self, state: TextState, place: str) -> Message:
        header = Start(
            stream=self.name, epoch=state.text, width=1, height=1, source=place, t_first_us=0
        )
        return control(header)

    def _message(self, state: TextState, encoded: Encoded) -> Message:
        ids = encoded.ids[state.offset : state.offset + self.config.batch_steps]
        windows = Windows(
            first=state.offset,
            start_us=state.offset,
            length_us=1,
            step_us=1,
            last_event_us=tuple(range(state.offset, state.offset + len(ids))),
        )
        return data(
            Frames,
            ids.reshape(-1, 1, 1, 1),
            stream=self.name,
            epoch=state.text,
            t_first_us=state.offset,
            t_last_us=state.offset + len(ids),
            windows=windows,
        )


def _begin(state: TextState, encoded: Encoded) -> TextState:
    """Return the state at the start of a text; its words are counted at once."""
    return state._replace(
        within=True,
        words=state.words + encoded.words,
        cut=state.cut + encoded.cut,
        unknown=state.unknown + encoded.unknown,
        empty=state.empty + (encoded.words == 0),
    )
