"""How long and how fast a VITS voice is trained, where the manifest does not say."""

from codex_worker.stabletts.recipe import Method

# Fine-tuning: 200 epochs of batches of 16 over 80 to 150 recordings at 2e-5 (finetune-hf-vits, README and
# finetune_mms.json), which is 1,000 to 2,000 updates. From nothing: 800,000 updates of 64 recordings at 2e-4
# on 24 hours (Kim et al. 2021, section 3.2), of which a project pays a part only.
VITS = Method(
    learning_rates={"official": 2e-5, "checkpoint": 2e-5, "scratch": 2e-4},
    tiny_learning_rate=5e-4,
    betas=(0.8, 0.99),
    clip_norm=None,
    updates_at_least=2_000,
    updates_per_hour=2_000,
    updates_at_most=20_000,
    scratch_factor=20,
    batch_size=16,
    tiny_updates=300,
    precision="fp32",
    frames_per_second=62.5,
    reasons=(
        "losses: mel 35, divergence 1.5, durations 1, against the discriminators 1, their features 1, and of "
        "the discriminators 3 (finetune-hf-vits, finetune_mms.json)",
        "the discriminators start from random weights: those of MMS are published as pickles only, which can "
        "run code when they are read",
    ),
)
