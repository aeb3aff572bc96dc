"""Which published network a transcriber starts from where the job leaves it open (`model.base_model: auto`).

One table, in order: the first line that fits is taken. What may not be used commercially is never in it, for
nobody would have chosen that. The language counts by its letters: a network that reads helps where it writes
the letters of the project's texts, and a list of names of languages would say less.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from codex_worker.asr.networks.base_letters import BaseLetters
from codex_worker.asr.start import FromWeights
from codex_worker.contract.options import MANY_HOURS
from codex_worker.errors import SystemFault, UserError, clause


@dataclass(frozen=True)
class BaseRule:
    """When a published network is the one to start from."""

    base: str  # its repository
    below_hours: float  # for projects with fewer hours of recordings than these
    must_read: float  # share of the texts' letters that its head has to write already
    because: str


RULES = (
    # A supervised stage before fine-tuning lowers word errors by 24.5 % (relative) with 1 h and by 6.6 % with
    # 10 h (wav2vec-S, arXiv 2110.04484). Omnilingual ASR's own recipe for one language starts from its CTC
    # model (arXiv 2511.09690).
    BaseRule(
        "hf-audio/omniasr-ctc-300m-v2",
        MANY_HOURS,
        0.9,
        f"below {MANY_HOURS:g} hours a network that reads the letters already has least to learn",
    ),
    # In 13 languages MMS and w2v-BERT need the least data of four families (arXiv 2512.10968), and MMS is not
    # for commercial use.
    BaseRule(
        "facebook/w2v-bert-2.0",
        math.inf,
        0.0,
        "of the networks that may be used for everything it needs the least data",
    ),
)


@dataclass(frozen=True)
class BaseChoice:
    """The repository that was chosen, and why, as sentences for people."""

    base: str
    reasons: tuple[str, ...]


def choose_base(hours: float, texts: Iterable[str], begin: Callable[[str], FromWeights]) -> BaseChoice:
    """The first rule that fits.

    Args:
        hours: of the recordings to learn from.
        texts: of these, as they are learnt.
        begin: fetches the weights of a repository. What it raises passes only for the last rule, for another
            network will do as well.
    """
    counts = Counter(letter for text in texts for letter in text if not letter.isspace())
    reasons: list[str] = []
    for rule in RULES:
        against = list(_against(rule, hours, counts, begin, is_last=rule is RULES[-1]))
        if not against:
            break
        reasons += against
    chosen = f"model.base_model auto: {rule.base}, for {hours:.1f} hours of recordings: {rule.because}"
    return BaseChoice(rule.base, (chosen, *reasons))


def _against(
    rule: BaseRule, hours: float, counts: Counter[str], begin: Callable[[str], FromWeights], *, is_last: bool
) -> Iterator[str]:
    """What speaks against a rule; the weights are fetched only where nothing else does."""
    if hours >= rule.below_hours:
        yield f"{rule.base} is for less than {rule.below_hours:g} hours"
        return
    try:
        letters = begin(rule.base).letters
    except (UserError, SystemFault) as error:
        if is_last:
            raise
        yield f"{rule.base} cannot be had here ({clause(error)})"
        return
    share = read_share(letters, counts)
    if share < rule.must_read:
        yield f"{rule.base} writes {share:.0%} of the letters of the texts, which is too few"


def read_share(letters: BaseLetters, counts: Counter[str]) -> float:
    """The share of texts' letters, as often as they stand there, that a network writes already; 0 of none."""
    known = letters.rows_for(counts)
    return sum(counts[letter] for letter in known) / max(1, counts.total())
