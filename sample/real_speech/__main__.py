"""`make real`: projects of real people's speech, with what is right about each beside it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sample.real_speech.languages import LANGUAGES, Language
from sample.real_speech.make import make_real_project
from sample.real_speech.packages import PackagesMissingError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "real"
DEFAULT = ("en", "ru")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make each project that is asked for; answers 1 where one could not be made."""
    parser = argparse.ArgumentParser(prog="python -m sample.real_speech", description=__doc__)
    parser.add_argument(
        "languages", nargs="*", metavar="LANGUAGE", help=f"{', '.join(LANGUAGES)} ({' '.join(DEFAULT)})"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to (build/real)")
    options = parser.parse_args(arguments)
    codes = options.languages or DEFAULT
    unknown = [code for code in codes if code not in LANGUAGES]
    if unknown:
        parser.error(f"there are no recordings of {', '.join(unknown)}; choose from {', '.join(LANGUAGES)}")
    made = [_made(LANGUAGES[code], options.folder) for code in codes]
    return 0 if all(made) else 1


def _made(language: Language, folder: Path) -> bool:
    try:
        project = make_real_project(language, folder)
    except PackagesMissingError as error:
        print(error, file=sys.stderr)
        return False
    print(f"{project.repository}: {project.truth.counts()}.")
    print(f"  What is right about each cell is in {folder / f'truth-{language.code}.json'}.")
    print(f"  {project.truth.credit}")
    return True


if __name__ == "__main__":
    sys.exit(main())
