"""`codex-worker data --forecast`: what a training is likely to give and to cost, before it is paid for."""

import argparse
from typing import TYPE_CHECKING

from codex_worker.errors import UserError

if TYPE_CHECKING:
    from codex_worker.forecast.cost import TrainingWork
    from codex_worker.forecast.project import ProjectForecast
    from codex_worker.forecast.situation import Situation


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `data` that ask for a forecast."""
    parser.add_argument(
        "--forecast", action="store_true", help="say what error rate, hours of a GPU and money to expect"
    )
    parser.add_argument(
        "--price-per-hour", metavar="PRICE", help="of a GPU, for the forecast (assumed where not given)"
    )


def is_asked(arguments: argparse.Namespace) -> bool:
    """Whether the command line asks for a forecast. Raises UserError for what cannot be meant."""
    _price(arguments)
    return bool(arguments.forecast or arguments.price_per_hour is not None)


def forecast_of(arguments: argparse.Namespace, situation: "Situation") -> "ProjectForecast":
    """The forecast with hours and money. Raises UserError where there is nothing to forecast from."""
    from codex_worker.forecast.project import NOTHING, forecast

    if situation.hours <= 0:
        raise UserError(f"{NOTHING} Record verses that have text, synchronise, and ask again.")
    found = forecast(situation, {"full": _full_work(situation)}, _price(arguments))
    assert found is not None  # noqa: S101  there are hours
    return found


def _price(arguments: argparse.Namespace) -> float | None:
    from codex_worker.forecast.cost import price_of

    return None if arguments.price_per_hour is None else price_of(arguments.price_per_hour)


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
