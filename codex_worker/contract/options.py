"""Every key of a manifest's entry that says how a job is done, once: place, values, default, use and line.

`read_options` reads them all before any work begins. docs/manifest.md is made from this file
(`codex-worker manifest-keys`), and the recipes take what it gives. How to add a key:
docs/adding-a-manifest-key.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, model_validator

from codex_worker.contract.keys import (
    ALL,
    NOTHING,
    SPEAKING,
    TRAIN,
    TRANSCRIBER_TRAINING,
    TRANSCRIBING,
    USE,
    VOICE_TRAINING,
    VOICES,
    Key,
    keys_of,
    work_of,
)
from codex_worker.contract.manifest import JobEntry, ModelChoice
from codex_worker.contract.reading import EntryReader
from codex_worker.contract.values import Anything, Choice, MmsVoice, Number, Text, Verses, Whole, YesNo

MOST_HELD_BACK = 0.8  # val_split and test_split together
# Held back where a job does not say; of many hours a smaller share will do.
VAL_SPLIT, SMALL_VAL_SPLIT, TEST_SPLIT = 0.1, 0.05, 0.05
MOST_VALIDATED = 100  # recordings of a voice
MANY_HOURS = 10.0  # with fewer, all that is not needed for validation is needed to learn

BASE_MODELS = (
    "facebook/w2v-bert-2.0",
    "facebook/wav2vec2-xls-r-1b",
    "facebook/mms-300m",
    "facebook/mms-1b",
)
AUTO_BASE_MODEL = "auto"  # by hours, licence and letters: asr/base_choice.py
# Of the first three the hub has no safe file, of the others no commit is known that could be kept to.
BASE_MODELS_OF_AN_OPERATOR = (
    "facebook/wav2vec2-base",
    "facebook/wav2vec2-large-xlsr-53",
    "facebook/wav2vec2-xls-r-300m",
    "hf-audio/omniasr-ctc-300m-v2",
    "hf-audio/omniasr-ctc-1b-v2",
)
OFFICIAL_VOICE = "KdaiP/StableTTS1.1"
AUDIO_FORMATS = ("webm", "wav", "ogg", "mp3", "m4a")
DECODINGS = ("greedy", "beam")
SOLVERS = ("euler", "midpoint", "rk4", "dopri5")
FRONTENDS = ("auto", "compat", "characters")


def held_back(hours: float) -> float:
    """The share of so many hours that a transcriber is not trained on where a job does not say."""
    return VAL_SPLIT if hours < MANY_HOURS else SMALL_VAL_SPLIT


class SharedOptions(BaseModel):
    """What training and use of a model have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_checkpoint: Annotated[
        str | None,
        Key(
            "model.base_checkpoint",
            Text(),
            "a checkpoint of this project, ours or an older worker's: training goes on from it, and a job "
            "with `mode: inference` uses it and needs it. `PROJECT:gpu_jobs/...` names one of another "
            "project (its path with namespace, its address or its number), where the worker's operator "
            "shares them: a neighbour's language is a good start",
            "official weights",
            ALL,
        ),
    ] = None
    frontend: Annotated[
        str,
        Key(
            "model.frontend",
            Choice(FRONTENDS),
            "how the text is read: `compat` as older checkpoints, `characters` by the project's own letters",
            "`auto`",
            VOICES,
        ),
    ] = "auto"
    language: Annotated[
        str | None,
        Key(
            "model.language",
            Text(100),
            "the language of the texts, where it has its own small letters (`tr`, `az`, `lt`); for a voice "
            "else `english` only, the reading rules of `compat`. Kept with the checkpoint",
            "as the project's metadata says",
            ALL,
        ),
    ] = None
    commercial: Annotated[
        bool,
        Key(
            "model.commercial",
            YesNo(),
            "the model is for commercial use: a job that would start from, or use, one under a licence that "
            "forbids it (`mms`, and whatever was made from it) is refused",
            "false",
            ALL,
        ),
    ] = False
    use_uroman: Annotated[
        bool | None,
        Key("model.use_uroman", YesNo(), "for `compat`: romanise first", "by the letters", VOICES),
    ] = None
    uroman_lang: Annotated[
        str | None,
        Key("model.uroman_lang", Text(100), "for `compat`: romanise as which language", "any", VOICES),
    ] = None
    vocoder: Annotated[
        str | None,
        Key(
            "model.vocoder",
            Choice(("vocos", "griffin_lim")),
            "what makes sound of a mel spectrogram",
            "as the voice was trained",
            VOICES,
        ),
    ] = None
    mms_voice: Annotated[
        str | None,
        Key(
            "model.mms_voice",
            MmsVoice(),
            "with `model.type: VITS`: the published voice `facebook/mms-tts-...` to start from, or to speak "
            "with where no checkpoint is named; not for commercial use. The worker's operator keeps it in a "
            "folder (`CODEX_WEIGHTS_FOLDER`)",
            "none: a new voice starts from random weights",
            VOICES,
        ),
    ] = None


class TrainingOptions(SharedOptions):
    """How to train; None where the entry says nothing and the amount of data decides.

    A field with the name of a `TrainingSettings` field goes to the loop of both models by that name.
    """

    include_verses: Annotated[
        tuple[str, ...],
        Key("training.include_verses", Verses(), "train on these cells only", "all", TRAIN | SPEAKING),
    ] = ()
    exclude_verses: Annotated[
        tuple[str, ...],
        Key("training.exclude_verses", Verses(), "do not train on these cells", "none", TRAIN | SPEAKING),
    ] = ()
    include_machine_made: Annotated[
        bool,
        Key(
            "training.include_machine_made",
            YesNo(),
            "all of it counts, also texts and recordings that a machine made and nobody validated",
            "false",
            TRAIN,
        ),
    ] = False
    epochs: Annotated[
        int | None,
        Key(
            "epochs",
            Whole(1, 100_000),
            "how many at most; early stopping may end before and says so",
            "by the amount of data",
            TRAIN,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Key("batch_size", Whole(1, 4096), "utterances in a batch at most", "by total length", TRAIN),
    ] = None
    learning_rate: Annotated[
        float | None,
        Key(
            "learning_rate",
            Number(1e-8, 1.0),
            "the highest one of the run; of a transcriber's body, whose new layers may learn faster",
            "by what training starts from",
            TRAIN,
        ),
    ] = None
    warmup_steps: Annotated[
        int | None,
        Key("warmup_steps", Whole(0, 10**6), "updates until it is reached", "by the amount of data", TRAIN),
    ] = None
    gradient_accumulation_steps: Annotated[
        int | None,
        Key("gradient_accumulation_steps", Whole(1, 1024), "batches to an update", "by the machine", TRAIN),
    ] = None
    early_stopping_patience: Annotated[
        int | None,
        Key(
            "early_stopping_patience",
            Whole(0, 100_000),
            "epochs without progress before training ends; 0: it never ends early. A transcriber's are "
            "counted when it reads its first words and everything is warmed up. A voice needs a "
            "`model.transcriber` for it: without one nothing tells progress",
            "by the amount of data",
            TRAIN,
        ),
    ] = None
    val_split: Annotated[
        float | None,
        Key(
            "val_split",
            Number(0.0, 0.5),
            "share held out for validation; with `test_split` at most 0.8",
            f"{VAL_SPLIT:g}, of a voice's recordings no more than {MOST_VALIDATED}; for a transcriber "
            f"{SMALL_VAL_SPLIT:g} from {MANY_HOURS:g} hours on",
            TRAIN,
        ),
    ] = None
    seed: Annotated[int, Key("seed", Whole(0, 2**31), "everything random follows from it", "0", TRAIN)] = 0
    test_split: Annotated[
        float | None,
        Key(
            "test_split",
            Number(0.0, 0.5),
            "share held out for a test that training never sees",
            f"0 below {MANY_HOURS:g} hours and with `model.preset: tiny`, else {TEST_SPLIT:g}",
            TRANSCRIBER_TRAINING,
        ),
    ] = None
    base_model: Annotated[
        str,
        Key(
            "model.base_model",
            Choice((*BASE_MODELS, AUTO_BASE_MODEL), has_owners=True, not_offered=BASE_MODELS_OF_AN_OPERATOR),
            "another network to start from; `auto` chooses by hours and letters, never one that may not be "
            "used commercially, and says why; those with `mms` not for commercial use. Where the worker's "
            "operator keeps them in a folder (`CODEX_WEIGHTS_FOLDER`), also `facebook/wav2vec2-base`, "
            "`facebook/wav2vec2-large-xlsr-53` and `facebook/wav2vec2-xls-r-300m`, of which the hub has no "
            "safe file, and `hf-audio/omniasr-ctc-300m-v2` and `hf-audio/omniasr-ctc-1b-v2` (Omnilingual "
            "ASR), of which no commit is pinned; these read 1,600 languages already, and keep the letters "
            "that they know",
            "`facebook/w2v-bert-2.0`",
            TRANSCRIBER_TRAINING,
        ),
    ] = BASE_MODELS[0]
    trainable: Annotated[
        str | None,
        Key(
            "training.trainable",
            Choice(("all", "adapter")),
            "which part of the network learns: `adapter` is only its adapters and the layer that writes "
            "letters, which needs less data and memory",
            "`adapter` below 5 hours for networks that have adapters in their layers, as MMS may; else `all`",
            TRANSCRIBER_TRAINING,
        ),
    ] = None
    lowercase: Annotated[
        bool,
        Key("text_normalization.lowercase", YesNo(), "train on lower case", "true", TRANSCRIBER_TRAINING),
    ] = True
    remove_punctuation: Annotated[
        bool,
        Key(
            "text_normalization.remove_punctuation",
            YesNo(),
            "train without punctuation; what belongs to words stays",
            "true",
            TRANSCRIBER_TRAINING,
        ),
    ] = True
    remove_numbers: Annotated[
        bool,
        Key(
            "text_normalization.remove_numbers",
            YesNo(),
            "train without digits",
            "false",
            TRANSCRIBER_TRAINING,
        ),
    ] = False
    max_duration_seconds: Annotated[
        float | None,
        Key(
            "max_duration_seconds",
            Number(0.5, 120.0),
            "longer recordings are not trained on",
            "by the model",
            TRANSCRIBER_TRAINING,
        ),
    ] = None
    corrector: Annotated[
        bool,
        Key(
            "transmorgrifier.enabled",
            YesNo(),
            "train a corrector of spelling; kept only if it lowers the error rate",
            "false",
            TRANSCRIBER_TRAINING,
        ),
    ] = False
    self_training: Annotated[
        bool,
        Key(
            "training.self_training",
            YesNo(),
            "learn also from what `model.base_checkpoint` reads surely in recordings without text; undone "
            "where that lowers no error rate on people's held-out recordings. Nothing of it comes into cells",
            "false",
            TRANSCRIBER_TRAINING,
        ),
    ] = False
    synthetic: Annotated[
        str | None,
        Key(
            "training.synthetic",
            Text(),
            "a StableTTS voice's checkpoint of this project: learn also from texts without a recording, as "
            "it speaks them; needs `model.base_checkpoint`, and is undone as `training.self_training` is",
            "none",
            TRANSCRIBER_TRAINING,
        ),
    ] = None
    from_scratch: Annotated[
        bool,
        Key("model.from_scratch", YesNo(), "start from random weights", "false", VOICE_TRAINING),
    ] = False
    transcriber: Annotated[
        str | None,
        Key(
            "model.transcriber",
            Text(),
            "a transcriber's checkpoint of this project that listens to the samples and helps to choose the "
            "best voice",
            "none",
            VOICE_TRAINING,
        ),
    ] = None
    pretrained_repo_id: Annotated[
        str,
        Key(
            "model.pretrained_repo_id",
            Choice(
                (OFFICIAL_VOICE,),
                "Leave it out, or put the weights into the project and name them as model.base_checkpoint",
            ),
            "the weights that a voice starts from; there is only this one",
            f"`{OFFICIAL_VOICE}`",
            VOICE_TRAINING,
        ),
    ] = OFFICIAL_VOICE

    @property
    def weights(self) -> str:
        """The name in the worker's list of official weights of what a training cannot do without."""
        chosen = BASE_MODELS[0] if self.base_model == AUTO_BASE_MODEL else self.base_model
        return chosen.rpartition("/")[2]

    @model_validator(mode="after")
    def _leaves_something_to_learn_from(self) -> "TrainingOptions":
        if (self.val_split or 0) + (self.test_split or 0) > MOST_HELD_BACK + 1e-9:
            raise ValueError(
                "val_split and test_split leave less than a fifth of the recordings to learn from; "
                "lower one of them"
            )
        return self


class InferenceOptions(SharedOptions):
    """How to use a model."""

    include_verses: Annotated[
        tuple[str, ...],
        Key("inference.include_verses", Verses(), "do these cells only", "all that lack something", USE),
    ] = ()
    exclude_verses: Annotated[
        tuple[str, ...], Key("inference.exclude_verses", Verses(), "leave these cells alone", "none", USE)
    ] = ()
    suppress_unk: Annotated[
        bool,
        Key(
            "inference.suppress_unk",
            YesNo(),
            "leave out the unknown characters of old checkpoints",
            "true",
            TRANSCRIBING,
        ),
    ] = True
    unk_replacement: Annotated[
        str,
        Key(
            "inference.unk_replacement",
            Text(32, as_it_is=True),
            "what to write for them",
            "nothing",
            TRANSCRIBING,
        ),
    ] = ""
    decoding: Annotated[
        str | None,
        Key(
            "inference.decoding",
            Choice(DECODINGS),
            "how a reading is found: the best letter of each moment, or the best text by sound and by all "
            "texts of the project (greedy reads a little faster)",
            "`beam` where the checkpoint knows its project's language and was seen to read better with it, "
            "else `greedy`",
            TRANSCRIBING,
        ),
    ] = None
    voice_reference: Annotated[
        str | None,
        Key(
            "voice_reference",
            Text(5000),
            "a recording whose voice is spoken with",
            "chosen from the project's own, and said which",
            SPEAKING,
        ),
    ] = None
    diffusion_steps: Annotated[
        int, Key("inference.diffusion_steps", Whole(1, 1000), "steps of the flow", "10", SPEAKING)
    ] = 10
    temperature: Annotated[
        float, Key("inference.temperature", Number(0.0, 2.0), "how varied the speech is", "1.0", SPEAKING)
    ] = 1.0
    length_scale: Annotated[
        float,
        Key("inference.length_scale", Number(0.25, 4.0), "how slow the speech is", "1.0", SPEAKING),
    ] = 1.0
    cfg_scale: Annotated[
        float,
        Key(
            "inference.cfg_scale", Number(0.0, 20.0), "how closely it follows text and voice", "3.0", SPEAKING
        ),
    ] = 3.0
    solver: Annotated[
        str,
        Key("inference.solver", Choice(SOLVERS), "how the flow is solved", "`euler`", SPEAKING),
    ] = "euler"
    audio_format: Annotated[
        str,
        Key(
            "inference.audio_format",
            Choice(AUDIO_FORMATS),
            "the kind of file that is recorded",
            "`webm`",
            SPEAKING,
            also_at="audio_format",
        ),
    ] = "webm"
    trained_model_path: Annotated[
        str | None,
        Key(
            "trained_model_path",
            Text(),
            "an older name of `model.base_checkpoint` for jobs with `mode: inference`, used where that is "
            "missing",
            "none",
            USE,
        ),
    ] = None


def _unread(place: str, why: str) -> Key:
    return Key(place, Anything(), why, "", NOTHING, no_effect=why)


OLDER_KEYS = (
    _unread("use_8bit_optimizer", "AdamW runs in full precision, which bf16 leaves room for"),
    _unread("eval_strategy", "every epoch is validated"),
    _unread("eval_steps", "every epoch is validated"),
    _unread("save_steps", "the state is saved by the clock"),
    _unread("save_interval", "the state is saved by the clock"),
    _unread("model.use_wav2vec2_base", "the base model says itself what it is"),
    _unread("model.pretrained_filename", "the official voice is one known file"),
    _unread("use_codex_text", "the text is always the cell's"),
)


@dataclass(frozen=True)
class JobOptions:
    """An entry's options, and sentences about what in it has no effect."""

    training: TrainingOptions = field(default_factory=TrainingOptions)
    inference: InferenceOptions = field(default_factory=InferenceOptions)
    notes: tuple[str, ...] = ()


_JOB_KEYS = frozenset(
    {*JobEntry.model_fields, "description", *(f"model.{name}" for name in ModelChoice.model_fields)}
) - {"config", "model"}


def all_keys() -> tuple[Key, ...]:
    """Every key of an entry beside those that say which job it is, in the order of docs/manifest.md."""
    models = (JobEntry, ModelChoice, TrainingOptions, InferenceOptions)
    return tuple(dict.fromkeys([*(key for model in models for _, key in keys_of(model)), *OLDER_KEYS]))


def options_of(entry: JobEntry) -> JobOptions:
    """The options of an entry. Raises UserError."""
    return read_options(entry.config, job_type=entry.job_type, mode=entry.mode, model_type=entry.model_type)


def read_options(config: Mapping[str, Any], *, job_type: str, mode: str, model_type: str) -> JobOptions:
    """Reads a manifest's entry whole. Null counts as absent; a value that can be meant is accepted.

    A value that cannot be meant, a known key in the wrong place and a key that is nearly a known one are
    faults, also where the key has no effect in this job: they are told together in one UserError. Any other
    unknown key is kept for whoever wrote it, and is named in the notes, as are known keys that this job does
    not need.

    A plug-in's model may have keys of its own. So for a model that this package does not know, unknown keys
    are not noted, nor compared with known ones except at the top of the entry (`epoch`, `trainning`); known
    keys are read as always.
    """
    reader = EntryReader(config, all_keys(), _JOB_KEYS, work_of(job_type, mode, model_type))
    training, inference = reader.values_of(TrainingOptions), reader.values_of(InferenceOptions)
    reader.refuse_faults()
    return JobOptions(training, inference, reader.notes())
