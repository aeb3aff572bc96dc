"""Jobs of the sample project, one in each state, as the plugin and an older worker left them."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sample.notebooks import Json
from sample.project_files import LFS

DONE, RUNNING, PENDING, FAILED, CANCELED = (
    "mjsample0_done0000000",
    "mjsample1_run00000000",
    "mjsample2_pend0000000",
    "mjsample3_fail0000000",
    "mjsample4_cncl0000000",
)
CHECKPOINT = f"gpu_jobs/job_{DONE}/checkpoint/model_epoch2.pt"
CHECKPOINT_CONTENT = b"stand-in checkpoint bytes (never a real model)\n" * 32
LOSSES = """\
epoch,train_total_loss,train_diff_loss,train_dur_loss,train_prior_loss,val_total_loss,val_diff_loss,val_dur_loss,val_prior_loss
1,2.5,0.7,0.5,1.3,3.1,1.2,0.6,1.3
2,2.1,0.6,0.4,1.1,,,,
"""


def sample_jobs(voice_reference: str, wanted_cells: Sequence[str]) -> list[Json]:
    """The manifest's entries: completed, running, pending, failed and canceled."""
    return [
        {
            "job_id": DONE,
            "name": "Jonah voice 1",
            "description": "first run",
            "job_type": "tts",
            "mode": "training",
            "submitted_at": "2026-01-01T00:00:00.000Z",
            "model": {"type": "StableTTS"},
            "epochs": 2,
            "training": {"exclude_verses": ["MRK 1:2"]},
            "canceled": False,
        },
        {
            "job_id": RUNNING,
            "job_type": "asr",
            "mode": "training_and_inference",
            "submitted_at": "2026-01-01T01:00:00.000Z",
            "model": {"type": "W2V2BERT"},
            "epochs": 10,
            "transmorgrifier": {"enabled": True},
            "canceled": False,
        },
        {
            "job_id": PENDING,
            "job_type": "tts",
            "mode": "inference",
            "submitted_at": "2026-01-01T02:00:00.000Z",
            "model": {"type": "StableTTS", "base_checkpoint": CHECKPOINT},
            "inference": {"include_verses": list(wanted_cells)},
            "voice_reference": voice_reference,
            "canceled": False,
        },
        {
            "job_id": FAILED,
            "job_type": "tts",
            "mode": "training",
            "submitted_at": "2026-01-01T03:00:00.000Z",
            "model": {"type": "StableTTS"},
            "epochs": 5,
            "canceled": False,
        },
        {
            "job_id": CANCELED,
            "job_type": "asr",
            "mode": "inference",
            "submitted_at": "2026-01-01T04:00:00.000Z",
            "model": {"type": "W2V2BERT", "base_checkpoint": "gpu_jobs/job_gone/checkpoint/model.pt"},
            "canceled": True,
        },
    ]


def job_files() -> dict[str, str]:
    """What an older worker wrote for them, by path; the checkpoint itself is a large file."""
    responses: dict[str, Json] = {
        DONE: {
            "state": "completed",
            "epochs_completed": 2,
            "status_message": "Done",
            "timestamp": "2026-01-01T00:30:00.000Z",
            "result": {"checkpoint_path": CHECKPOINT},
        },
        RUNNING: {
            "state": "running",
            "epochs_completed": 0,
            "status_message": "Preparing data (3 clips)",
            "timestamp": "2026-01-01T01:05:00.000Z",
        },
        FAILED: {
            "state": "failed",
            "error_message": "Not enough audio",
            "timestamp": "2026-01-01T03:05:00.000Z",
        },
        CANCELED: {"state": "canceled", "timestamp": "2026-01-01T04:05:00.000Z"},
    }
    return {
        # Not in the root's file: the editor rewrites that one.
        "gpu_jobs/.gitattributes": f"*.pt {LFS}\n*.safetensors {LFS}\n",
        f"gpu_jobs/job_{DONE}/logs.txt": "epoch 1 ...\nepoch 2 ...\n",
        f"gpu_jobs/job_{DONE}/checkpoint/training_metrics.csv": LOSSES,
    } | {
        f"gpu_jobs/job_{job_id}/response.yaml": plugin_yaml({"worker_id": "worker-a"} | response)
        for job_id, response in responses.items()
    }


def manifest(jobs: Sequence[Mapping[str, Any]]) -> str:
    """The text of ``gpu_jobs/manifest.yaml``."""
    return plugin_yaml({"version": 1, "jobs": [dict(job) for job in jobs]})


def plugin_yaml(content: Json) -> str:
    """YAML in the plugin's form: keys in their order, lists indented, long lines left long."""
    return yaml.dump(
        content,
        Dumper=_PluginDumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=float("inf"),
    )


class _PluginDumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:
        return True
