"""A job's share of a GPU that others use as well."""

import logging

logger = logging.getLogger(__name__)


def take_at_most(tensor_bytes: int) -> None:
    """This process's tensors get no more of the first GPU: what is over that is out of memory for them."""
    import torch

    if not torch.cuda.is_available():
        return
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(tensor_bytes / total, 1.0), 0)
    logger.info("The job may use %.1f of %.1f GiB of the GPU.", tensor_bytes / 2**30, total / 2**30)
