"""What became of a job, as counted facts, and the one sentence that a translator reads of it.

A handler counts; the supervisor, which alone knows what the project holds in the end, makes the sentence.
"""


def with_saved(message: str, checkpoint_path: str | None, cells: int) -> str:
    """The sentence of an attempt that did not finish, with what is in the project of it all the same.

    The plugin offers the models of finished jobs only, so a person has to read where this one lies.
    """
    saved = []
    if cells:
        saved.append("1 cell" if cells == 1 else f"{cells} cells")
    if checkpoint_path:
        saved.append(f"the model {checkpoint_path}")
    return f"{message} Saved: {' and '.join(saved)}." if saved else message
