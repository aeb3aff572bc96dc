"""What a forecast needs to know, counted from a report."""

from collections.abc import Iterator
from dataclasses import replace

from codex_worker.doctor.checks import is_noisy
from codex_worker.doctor.examine import DataReport
from codex_worker.doctor.examined import Examined
from codex_worker.forecast.situation import Situation
from codex_worker.text.normalise import letter_counts, recipe_for, unlearnt_letters
from codex_worker.text.spacing import has_words


def situation_of(report: DataReport) -> Situation:
    """The usable recordings, as a forecast counts them."""
    all_s = sum(each.duration_s for each in report.examined)
    counted = Situation(
        len(report.examined),
        report.hours,
        tuple(sorted(report.hours_by_speaker().values(), reverse=True)),
    )
    if not all_s:
        return counted
    recipe = recipe_for([each.text for each in report.examined])
    texts = [recipe.apply(each.text) for each in report.examined]
    letters = letter_counts(texts)
    noisy_s = sum(each.duration_s for each in report.examined if is_noisy(each))
    repeated_s = sum(each.duration_s for each in _said_before(report.examined, texts))
    return replace(
        counted,
        noisy_share=noisy_s / all_s,
        repeated_share=repeated_s / all_s,
        letters=len(letters),
        words=len({word for text in texts for word in text.split()}) if has_words(texts) else None,
        rare_share=sum(unlearnt_letters(texts).values()) / max(1, letters.total()),
    )


def _said_before(examined: tuple[Examined, ...], texts: list[str]) -> Iterator[Examined]:
    """Recordings with the text of an earlier one."""
    seen: set[str] = set()
    for each, text in zip(examined, texts, strict=True):
        if text in seen:
            yield each
        seen.add(text)
