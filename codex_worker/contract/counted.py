"""Counts in sentences: one is, several are."""


def counted(count: int, one: str, many: str) -> str:
    """The words for so many: `one` as it stands, or `many` with its `{n}` filled in; 0 is many."""
    return one if count == 1 else many.format(n=count)
