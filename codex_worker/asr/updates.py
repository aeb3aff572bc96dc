"""How many updates a recipe comes to, with so many recordings."""

import math

from codex_worker.asr.recipe_settings import TranscriberRecipe


def updates_an_epoch(recipe: TranscriberRecipe, hours: float, recordings: int) -> int:
    """Updates in which all recordings are heard once: batches are full of seconds or of recordings."""
    batches = max(hours * 3600 / recipe.batch_seconds, recordings / recipe.batch_size)
    return max(1, math.ceil(batches / recipe.accumulation))


def seconds_an_update(recipe: TranscriberRecipe, hours: float, recordings: int) -> float:
    """Seconds of sound in an update, on average."""
    return hours * 3600 / updates_an_epoch(recipe, hours, recordings)
