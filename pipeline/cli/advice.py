"""What errors advise, in the words of the command that was given.

Stages and readers advise to set options, as a pipeline file has them. A command that has flags for
them says the flags.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

__all__ = ["advice_in"]

_SET = re.compile(r'\bset ([a-z_]+) = (\w+|"\w+"(?:(?:, | or )"\w+")*)')


@contextmanager
def advice_in(
    flag: Callable[[str, list[str]], str | None], phrases: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Rewrite the advice of any error of ours that passes.

    Args:
        flag: returns how the command says that an option (its key) is to have one of some values;
            None where it has no word for it, and the advice stays as it is.
        phrases: further texts, and what the command says for them.
    """
    from pipeline.errors import PipelineError

    def rewritten(found: re.Match[str]) -> str:
        key, values = found.groups()
        said = flag(key, re.findall(r"\w+", values.replace(" or ", " ")))
        return found[0] if said is None else f"give {said}"

    try:
        yield
    except PipelineError as error:
        text = _SET.sub(rewritten, str(error))
        for phrase, words in (phrases or {}).items():
            text = text.replace(phrase, words)
        error.args = (text,)
        raise
