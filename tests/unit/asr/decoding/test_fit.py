"""A language is kept where held-out recordings are read better with it, and only there."""

import pytest
import torch

from codex_worker.asr.decoding.beam import search
from codex_worker.asr.decoding.decoder import BeamDecoder, Decoding, GreedyDecoder, decoder_for
from codex_worker.asr.decoding.fit import HeldOutRecording, fit_language, judges
from codex_worker.asr.decoding.frames import heard_frames
from codex_worker.asr.decoding.language import LanguageWeights, ProjectLanguage
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.asr.words import words_of
from codex_worker.text.error_rate import character_error_rate
from tests.support.half_heard import half_heard, sentences
from tests.support.present import present

SPACED = ["naba", "kuto", "isimo", "rak", "tebola", "ama", "sokin", "lulu", "berit"]
UNSPACED = ["พระ", "เจ้า", "สร้าง", "ฟ้า", "ดิน", "น้ำ", "คน", "รัก", "เห็น"]


def read(log_probs, vocabulary):
    path = GreedyDecoder().paths([log_probs])[0]
    return vocabulary.decode(token.symbol_id for token in vocabulary.collapse(path.symbols))


def recordings_of(texts, vocabulary, wrong=0.35):
    heard = [half_heard(text, vocabulary, seed, wrong) for seed, text in enumerate(texts)]
    return [
        HeldOutRecording(heard_frames([each], vocabulary.blank_id)[0], text, read(each, vocabulary))
        for each, text in zip(heard, texts, strict=True)
    ]


def texts_of(words, count, seed, gap=" ", length=4):
    return [gap.join(text.split()) for text in sentences(words, count, seed, length)]


@pytest.mark.parametrize(("words", "gap"), [(SPACED, " "), (UNSPACED, "")], ids=["spaces", "no spaces"])
def test_the_projects_language_lowers_the_error_rate_of_what_it_has_not_seen(words, gap):
    texts = texts_of(words, 80, 1, gap, length=3)
    vocabulary = build_vocabulary(texts)
    known = set(texts)
    held_out = [text for text in texts_of(words, 60, 2, gap, length=3) if text not in known][:10]
    recordings = recordings_of(held_out, vocabulary)
    language, report = fit_language(recordings, texts, vocabulary, has_words=bool(gap))
    assert present(report).kept
    assert present(report).cer_beam < 0.7 * present(report).cer_greedy
    assert (present(language).words is None) is (gap == "")
    unheard = [text for text in texts_of(words, 80, 3, gap, length=3) if text not in known][:12]
    heard = [half_heard(text, vocabulary, 1000 + seed) for seed, text in enumerate(unheard)]
    paths = BeamDecoder(vocabulary, language).paths(heard)
    beam = [vocabulary.decode(t.symbol_id for t in vocabulary.collapse(path.symbols)) for path in paths]
    greedy = [read(each, vocabulary) for each in heard]
    assert character_error_rate(unheard, beam) < 0.7 * character_error_rate(unheard, greedy)


def test_a_language_of_ten_words_never_reads_worse_than_none():
    texts = texts_of(SPACED, 12, 2, length=2)
    vocabulary = build_vocabulary(texts)
    few = texts_of(["zu", "wem", "hat", "er"], 3, 1)[:3]
    _, report = fit_language(recordings_of(texts, vocabulary), few, vocabulary, has_words=True)
    assert present(report).cer_beam <= present(report).cer_greedy or not present(report).kept


def test_another_language_is_not_kept_where_all_is_read_right_already():
    texts = texts_of(SPACED, 12, 2, length=2)
    vocabulary = build_vocabulary(texts)
    recordings = recordings_of(texts, vocabulary, wrong=0.0)
    language, report = fit_language(recordings, [text[::-1] for text in texts], vocabulary, has_words=True)
    assert language is None
    assert not present(report).kept
    assert "not kept" in present(report).sentence


@pytest.mark.parametrize(("count", "texts"), [(2, ["naba kuto"]), (0, ["naba"]), (16, []), (16, [""])])
def test_with_too_little_to_measure_on_or_to_learn_from_there_is_no_language(count, texts):
    vocabulary = build_vocabulary(SPACED)
    recordings = recordings_of(texts_of(SPACED, count, 2), vocabulary)
    assert fit_language(recordings, texts, vocabulary, has_words=True) == (None, None)


def test_one_sentence_repeated_is_too_little_to_measure_on():
    vocabulary = build_vocabulary(SPACED)
    recordings = recordings_of(["naba kuto rak"] * 30, vocabulary)
    assert fit_language(recordings, SPACED, vocabulary, has_words=True) == (None, None)


@pytest.mark.parametrize(("count", "most"), [(0, 0), (1, 1), (200, 200), (201, 101), (5000, 200)])
def test_of_very_many_recordings_so_many_choose_the_weights(count, most):
    assert len(judges(range(count))) == most


def test_where_the_search_reads_what_is_read_greedily_times_and_confidences_are_the_same():
    texts = texts_of(SPACED, 6, 4)
    vocabulary = build_vocabulary(texts)
    heard = [half_heard(text, vocabulary, seed, wrong=0.0) for seed, text in enumerate(texts)]
    language = ProjectLanguage.fit(texts, has_words=True, order=5).weighed(LanguageWeights(0.3, 0.3, 0.4))
    greedy, beam = GreedyDecoder().paths(heard), BeamDecoder(vocabulary, language).paths(heard)
    for text, one, other in zip(texts, greedy, beam, strict=True):
        words, same = (
            words_of(vocabulary, path.symbols, path.probabilities, seconds_per_frame=0.02)
            for path in (one, other)
        )
        assert [word.text for word in words] == text.split()
        assert words == same


def test_a_letter_that_only_the_language_puts_there_makes_its_word_less_sure():
    vocabulary = build_vocabulary(SPACED)
    heard = half_heard("kuto isimo", vocabulary, 0, wrong=0.0)
    sure_of_another = heard[6:8].clone()
    t, n = (vocabulary.symbols.index(letter) for letter in "tn")
    sure_of_another[:, [t, n]] = sure_of_another[:, [t, n]].new_tensor([0.2, 0.7]).log()
    heard = torch.cat((heard[:6], sure_of_another, heard[8:]))
    language = ProjectLanguage.fit(texts_of(SPACED, 80, 1), has_words=True, order=6)
    decoder = BeamDecoder(vocabulary, language.weighed(LanguageWeights(0.8, 0.3, 1.0)))
    path = decoder.paths([heard])[0]
    first, second = words_of(vocabulary, path.symbols, path.probabilities, seconds_per_frame=0.02)
    assert (first.text, second.text) == ("kuto", "isimo")
    assert first.confidence < second.confidence
    assert 0.0 <= first.start_s < first.end_s <= second.start_s < second.end_s <= len(heard) * 0.02


@pytest.mark.parametrize(
    ("asked", "has_language", "expected"),
    [
        (None, False, GreedyDecoder),
        (None, True, BeamDecoder),
        (Decoding.GREEDY, True, GreedyDecoder),
        (Decoding.GREEDY, False, GreedyDecoder),
        (Decoding.BEAM, False, BeamDecoder),
        (Decoding.BEAM, True, BeamDecoder),
    ],
)
def test_the_way_to_read_is_the_one_asked_for_else_the_checkpoints(asked, has_language, expected):
    language = ProjectLanguage.fit(["ab"], has_words=True, order=3) if has_language else None
    assert type(decoder_for(build_vocabulary(["ab"]), language, asked)) is expected


def test_nothing_is_read_where_nothing_was_heard():
    vocabulary = build_vocabulary(SPACED)
    silence = half_heard("naba", vocabulary, 0)[2::3]
    language = ProjectLanguage.fit(SPACED, has_words=True, order=5).weighed(LanguageWeights(1.0, 0.5, 3.0))
    path = BeamDecoder(vocabulary, language).paths([silence, silence[:0]])
    assert [set(each.symbols) for each in path] == [{vocabulary.blank_id}, set()]
    assert search([], None, frozenset()) == []
