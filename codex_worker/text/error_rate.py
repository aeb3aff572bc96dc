"""How far texts are from what they should be: errors over all texts by the length of all references.

Characters are code points, as in the field's tools and publications, so that rates can be compared: a letter
written with two marks of its own counts as three.
"""

from collections.abc import Hashable, Sequence


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Insertions, deletions and substitutions of characters per character of the references.

    Can exceed 1. Where all references are empty, the rate is 0 if the hypotheses are, too, and else 1.

    Raises:
        ValueError: no pair to compare, or not as many references as hypotheses.
    """
    import jiwer

    if _nothing_to_divide_by(references, hypotheses):
        return float(any(text.strip() for text in hypotheses))
    return float(jiwer.cer(list(references), list(hypotheses)))


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Insertions, deletions and substitutions of words per word of the references; else like the characters'.

    Raises:
        ValueError: no pair to compare, or not as many references as hypotheses.
    """
    import jiwer

    if _nothing_to_divide_by(references, hypotheses):
        return float(any(text.strip() for text in hypotheses))
    return float(jiwer.wer(list(references), list(hypotheses)))


def edit_distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> int:
    """The least number of insertions, deletions and substitutions between two strings or lists of words."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(reference, hypothesis)


def _nothing_to_divide_by(references: Sequence[str], hypotheses: Sequence[str]) -> bool:
    if len(references) != len(hypotheses) or not references:
        raise ValueError(f"{len(references)} references and {len(hypotheses)} hypotheses cannot be compared")
    return not any(text.strip() for text in references)
