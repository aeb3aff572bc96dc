import subprocess
import sys

import pytest

PROGRAM = """
import torch
from concurrent.futures import ThreadPoolExecutor
from codex_worker.training.machine import keep_cores, take_one_core

torch.set_num_threads(2)
with keep_cores(), ThreadPoolExecutor(1, initializer=take_one_core) as pool:
    print(pool.submit(torch.get_num_threads).result(), torch.get_num_threads())
with ThreadPoolExecutor(1) as pool:
    print(pool.submit(torch.get_num_threads).result(), torch.get_num_threads())
"""


@pytest.mark.slow
def test_a_pool_takes_one_core_a_thread_and_later_threads_have_them_all_again():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["1", "2", "2", "2"]
