"""One tree of exceptions. Each error has a kind, and the kind decides what happens to the job."""

from enum import StrEnum

LONGEST_TEXT = 4000


class Kind(StrEnum):
    """Why an attempt ended without success; written to its end file."""

    USER = "user"  # bad manifest, no usable data: the message says what to do
    DATA = "data"  # a recording, notebook or checkpoint that cannot be used
    MODEL = "model"  # training diverged
    RESOURCE = "resource"  # memory or disk ran out
    SYSTEM = "system"  # network, server, driver, a defect of ours
    PREEMPTED = "preempted"  # the machine was taken away or the worker told to stop
    CANCELED = "canceled"
    TIMEOUT = "timeout"

    @property
    def is_final(self) -> bool:
        """True when another attempt could not end better."""
        return self in {Kind.USER, Kind.DATA, Kind.MODEL, Kind.TIMEOUT, Kind.CANCELED}


class WorkerError(Exception):
    """The root: an error whose text may be shown to a person as it is.

    It quotes strangers' files: a very long text is cut, for nobody reads on, and halves of letters (lone
    surrogates), which no file can hold, are question marks.
    """

    kind = Kind.SYSTEM

    def __str__(self) -> str:
        text = super().__str__().encode("utf-8", "replace").decode()
        return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


class UserError(WorkerError):
    """Something in the project or on the command line has to be changed by a person."""

    kind = Kind.USER


class DataError(WorkerError):
    """A recording, notebook, archive or checkpoint cannot be used."""

    kind = Kind.DATA


class ModelError(WorkerError):
    """Training did not converge, or a network produced no finite numbers."""

    kind = Kind.MODEL


class ResourceError(WorkerError):
    """Memory or disk ran out; another machine may succeed."""

    kind = Kind.RESOURCE


class SystemFault(WorkerError):
    """Network, server, driver, or a defect of this program; another attempt may succeed."""

    kind = Kind.SYSTEM


class Preempted(WorkerError):
    """The worker was told to leave; the job goes on elsewhere."""

    kind = Kind.PREEMPTED


class JobCanceled(WorkerError):
    """The job was canceled, withdrawn or deleted by a person, or belongs to another worker now."""

    kind = Kind.CANCELED


class JobTimeout(WorkerError):
    """The job used up the time that the manifest or the operator gives it."""

    kind = Kind.TIMEOUT


class LeaseLost(JobCanceled):
    """Another attempt owns the job: nothing of ours may be written any more."""


class ServerUnreachable(SystemFault):
    """No answer from a server, or an answer that says to come back later: `wait_s` is when it says so."""

    def __init__(self, message: str = "", wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class AccessDenied(SystemFault):
    """The server knows us, or no token, and says no: a right or a scope is missing."""


class ProjectGone(AccessDenied):
    """There is no such project, or it is hidden from us: an answer, which waiting does not change soon."""


class CacheBroken(SystemFault):
    """A cache of this machine is damaged. It can be thrown away and fetched again."""


class Refused(SystemFault):
    """A server understood and says no; the text holds its words, `status` its HTTP status where it has one.

    While something is published this says nothing against what was computed.
    """

    def __init__(self, message: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class PushRefused(Refused):
    """The server refused a push that no other writer was in the way of."""


# Only some of torch's ways to say so have a class of their own: its processor's allocator and the libraries
# below it raise RuntimeError.
_OUT_OF_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "CUDA error: out of memory", "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED",
    "std::bad_alloc",
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, a GPU's or the machine's. Needs no torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def clause(words: object) -> str:
    """What somebody else said, on one line and without the full stop, for a sentence that goes on."""
    return " ".join(str(words).split()).rstrip(" .")
