"""All texts of a project as its transcriber would write them."""

from collections.abc import Callable, Collection, Iterable


def as_written(
    texts: Iterable[str], normalise: Callable[[str], str], letters: Collection[str], unlearnt: Collection[str]
) -> list[str]:
    """Normalised texts without what the transcriber cannot write; those that nothing is left of are missing.

    Args:
        texts: as people wrote them.
        normalise: the text recipe.
        letters: of the transcriber's vocabulary.
        unlearnt: letters that it might know, but that were taken out of what it learnt from.
    """
    known = {*letters, " "} - set(unlearnt)
    written = (
        " ".join("".join(letter for letter in normalise(text) if letter in known).split()) for text in texts
    )
    return [text for text in written if text]
