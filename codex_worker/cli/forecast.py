"""`codex-worker data --forecast`: what a training is likely to give and to cost, before it is paid for."""

import argparse
import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker.cli.probe_choice import ProbeChoice, choice_of, subjects_of
from codex_worker.errors import UserError
from codex_worker.settings import Settings

if TYPE_CHECKING:
    from codex_worker.clock import Clock
    from codex_worker.data.recordings import RecordedCell
    from codex_worker.forecast.cost import TrainingWork
    from codex_worker.forecast.probed import ProbeReport
    from codex_worker.forecast.project import ProjectForecast
    from codex_worker.forecast.situation import Situation
    from codex_worker.text.normalise import TextRecipe


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `data` that ask for a forecast."""
    parser.add_argument(
        "--forecast", action="store_true", help="say what error rate, hours of a GPU and money to expect"
    )
    parser.add_argument(
        "--price-per-hour", metavar="PRICE", help="of a GPU, for the forecast (assumed where not given)"
    )
    parser.add_argument(
        "--probe", nargs="?", const="", metavar="MINUTES,MODEL,...",
        help="train for so many minutes in all (10) on part of the recordings, and forecast by that; with "
        "base models whose weights are on this machine, or `tiny`: a race between them",
    )  # fmt: skip


class Forecaster:
    """What the command line asks for; checked before anything is heard. Raises UserError for nonsense."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from codex_worker.forecast.cost import price_of

        price = arguments.price_per_hour
        self._price = None if price is None else price_of(price)
        self._choice: ProbeChoice | None = None if arguments.probe is None else choice_of(arguments.probe)
        self.is_asked = bool(arguments.forecast or price is not None or self._choice is not None)

    def forecast(
        self,
        situation: "Situation",
        cells: Collection["RecordedCell"],
        text_recipe: "TextRecipe",
        settings: Settings,
        *,
        say: Callable[[str], None],
        clock: "Clock | None" = None,
    ) -> "ProjectForecast":
        """The forecast with hours and money, after a probe where one is asked for.

        Args:
            situation: what the recordings are like.
            cells: those that can be used.
            text_recipe: how their texts are learnt.
            settings: where official weights are, and where to work.
            say: gets a sentence of progress now and then.
            clock: which tells when a probe's minutes are over.

        Raises:
            UserError: there is nothing to forecast from, or to probe with.
        """
        from codex_worker.clock import SystemClock
        from codex_worker.forecast.project import NOTHING, forecast

        if situation.hours <= 0:
            raise UserError(f"{NOTHING} Record verses that have text, synchronise, and ask again.")
        report = None
        if self._choice is not None:
            report = _probed(
                self._choice, situation, cells, text_recipe, settings, say, clock or SystemClock()
            )
        found = forecast(situation, {"full": _full_work(situation)}, self._price, report)
        assert found is not None  # noqa: S101  there are hours
        return found


def _probed(
    choice: ProbeChoice,
    situation: "Situation",
    cells: Collection["RecordedCell"],
    text_recipe: "TextRecipe",
    settings: Settings,
    say: Callable[[str], None],
    clock: "Clock",
) -> "ProbeReport":
    import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
    from codex_worker.asr.probe import ProbeSettings, probe
    from codex_worker.asr.utterances import utterance_of
    from codex_worker.hub.fetch import Hub, hub_settings

    subjects = subjects_of(choice, Hub(hub_settings(settings, os.environ)))
    with tempfile.TemporaryDirectory(prefix="probe-", dir=settings.work_dir) as folder:
        return probe(
            [utterance_of(cell) for cell in cells],
            subjects,
            ProbeSettings(choice.minutes * 60, Path(folder), clock, say),
            text_recipe=text_recipe,
            hours=situation.hours,
        )


def _full_work(situation: "Situation") -> "TrainingWork":
    """What a job of the preset `full` would do on a GPU, by the recipe that it would be given."""
    from codex_worker.asr.recipe import FULL_PARAMETERS, choose_recipe
    from codex_worker.asr.updates import seconds_an_update, updates_an_epoch
    from codex_worker.forecast.cost import TrainingWork
    from codex_worker.training.machine import Machine

    recipe = choose_recipe(situation.hours, situation.recordings, machine=Machine("cuda", has_bf16=True))
    per_epoch = updates_an_epoch(recipe, situation.hours, situation.recordings)
    return TrainingWork(
        recipe.epochs * per_epoch,
        seconds_an_update(recipe, situation.hours, situation.recordings),
        FULL_PARAMETERS,
    )
