import errno
import json
import pickle
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from codex_worker.errors import ModelError, ResourceError, UserError
from codex_worker.training.loop import BEST, LAST, RESUME, fit
from codex_worker.training.task import TrainingSettings

from .tiny_task import Clock, TinyTask, Watcher

SETTINGS = TrainingSettings(epochs=4, learning_rate=0.05, ema_decay=0.9, accumulation=2, seed=3)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(folder, settings=SETTINGS, task=None, watcher=None, clock=None):
    task = task or TinyTask()
    watcher = watcher or Watcher()
    outcome = fit(task, settings, folder, watcher, clock=clock or Clock())
    return task, watcher, outcome


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("stop_before_update", [0, 1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("packing", ["even", "uneven"])
def test_an_interrupted_run_ends_exactly_like_an_uninterrupted_one(tmp_path, stop_before_update, packing):
    whole_task, whole, whole_outcome = run(tmp_path / "whole", task=TinyTask(packing=packing))
    first_task, _, stopped = run(
        tmp_path / "parts", task=TinyTask(packing=packing), watcher=Watcher(stop_before_update)
    )
    assert stopped.ended == "stopped"
    # Another process: other first weights, and the random generators stand elsewhere.
    torch.manual_seed(999)
    second_task, second, outcome = run(tmp_path / "parts", task=TinyTask(seed=5, packing=packing))

    assert first_task.seen + second_task.seen == whole_task.seen
    assert_same_weights(second_task.model.state_dict(), whole_task.model.state_dict())
    for name in (BEST, LAST):
        assert_same_weights(load_file(tmp_path / "parts" / name), load_file(tmp_path / "whole" / name))
    assert outcome.rows == whole_outcome.rows
    assert second.rows == whole.rows, "the chart is whole again after a resume"
    assert (outcome.best_epoch, outcome.best_metrics) == (
        whole_outcome.best_epoch,
        whole_outcome.best_metrics,
    )


def test_many_interruptions_change_nothing_either(tmp_path):
    whole_task, _, _ = run(tmp_path / "whole")
    for _ in range(20):
        task, _, outcome = run(tmp_path / "parts", watcher=Watcher(1))
        if outcome.ended != "stopped":
            break
    assert outcome.ended == "finished"
    assert_same_weights(task.model.state_dict(), whole_task.model.state_dict())


def test_learning_rates_follow_the_schedule_across_a_resume(tmp_path):
    def rates(folder, stops):
        found = []

        def note(optimizer, *_):
            found.append([group["lr"] for group in optimizer.param_groups])

        hook = register_optimizer_step_pre_hook(note)
        for stop in stops:
            run(folder, watcher=Watcher(stop))
        hook.remove()
        return found

    whole = rates(tmp_path / "whole", [None])
    assert len(whole) == 12
    assert rates(tmp_path / "parts", [4, 3, None]) == whole
    assert whole[0][1] == pytest.approx(SETTINGS.learning_rate)  # one update of warm-up
    assert all(slow == pytest.approx(fast / 2) for slow, fast in whole)
    assert [fast for _, fast in whole] == sorted((fast for _, fast in whole), reverse=True)


def test_a_run_told_to_stop_ends_before_its_next_update_and_leaves_usable_files(tmp_path):
    task, watcher, outcome = run(tmp_path, watcher=Watcher(4))
    assert len(task.seen) == 4 * SETTINGS.accumulation
    assert outcome.ended == "stopped"
    assert outcome.epochs_completed == 1
    assert outcome.last_path.exists()
    assert watcher.resumes == [tmp_path / RESUME]
    assert "Told to stop after 1 of 4 epochs" in outcome.message


def test_a_finished_run_that_is_started_again_trains_nothing(tmp_path):
    _, _, first = run(tmp_path)
    task, _, again = run(tmp_path, task=TinyTask(seed=9))
    assert task.seen == []
    assert (again.ended, again.best_epoch, again.rows) == (first.ended, first.best_epoch, first.rows)


def test_training_lowers_the_loss_and_writes_a_row_for_each_epoch(tmp_path):
    _, watcher, outcome = run(tmp_path, replace(SETTINGS, epochs=40))
    assert [row["epoch"] for row in watcher.rows] == list(range(1, 41))
    assert set(watcher.rows[0]) == {"epoch", "train_total_loss", "train_worst_loss", "val_total_loss"}
    assert watcher.rows[-1]["val_total_loss"] < 0.3 * watcher.rows[0]["val_total_loss"]
    assert outcome.best_metrics["val_total_loss"] == min(row["val_total_loss"] for row in watcher.rows)
    assert outcome.checkpoint_path == outcome.best_path


def test_patience_ends_a_run_and_the_outcome_says_so(tmp_path):
    task = TinyTask()
    task.validations = [5.0, 4.0, 4.5, 4.2, 3.0]
    _, watcher, outcome = run(tmp_path, replace(SETTINGS, epochs=5, patience_epochs=2), task)
    assert outcome.ended == "early"
    assert (outcome.epochs_completed, outcome.best_epoch) == (4, 2)
    assert "Stopped early after 4 of 5 epochs" in outcome.message
    assert "had not improved for 2 epochs; best val_total_loss 4.0000 after epoch 2" in outcome.message
    assert len(watcher.best) == 2
    task, _, again = run(tmp_path, replace(SETTINGS, epochs=5, patience_epochs=2))
    assert (again.ended, task.seen) == ("early", [])


LEARNS = replace(SETTINGS, learnt_below=0.8, early_below=0.5, warmup_steps=6, patience_epochs=3)  # 3 an epoch


@pytest.mark.parametrize(
    ("validations", "best", "ended_after"),
    [
        ([0.97, *[1.0] * 20, 0.7, 0.6, 0.5, 0.4], 25, 25),  # luck, then a plateau: it goes on
        ([0.7, *[1.0] * 9, 0.75, 0.9, 0.9, 0.9, 0.9], 11, 14),  # 0.7 came before it was warm
        ([0.3, 0.4, 0.4, 0.4, 0.4, 0.4], 1, 5),  # well read at once; patience begins with the warm epochs
        ([0.9] * 12, None, 12),
        ([0.9] * 11 + [0.79], 12, 12),
    ],
)
def test_an_untrained_model_is_never_the_best_and_starts_no_patience(
    tmp_path, validations, best, ended_after
):
    task = TinyTask()
    task.validations = list(validations)
    _, _, outcome = run(tmp_path, replace(LEARNS, epochs=len(validations)), task)
    assert (outcome.best_epoch, outcome.epochs_completed) == (best, ended_after)
    assert (tmp_path / BEST).exists() is (best is not None)


def test_a_state_that_calls_an_untrained_model_its_best_goes_on_without_it(tmp_path):
    before = TinyTask()
    before.validations = [0.97, 1.0, 1.0, 1.0]
    _, _, ended = run(tmp_path, replace(SETTINGS, epochs=6, patience_epochs=3), before)
    assert (ended.ended, ended.epochs_completed) == ("early", 4)
    task = TinyTask()
    task.validations = [0.6, 0.5]
    _, _, outcome = run(tmp_path, replace(LEARNS, epochs=6), task)
    assert (outcome.ended, outcome.best_epoch, outcome.best_metrics["val_total_loss"]) == ("finished", 6, 0.5)


def test_what_begins_to_train_later_is_warmed_up_then(tmp_path, monkeypatch):
    found = []

    def note(optimizer, *_):
        found.append([group["lr"] / SETTINGS.learning_rate for group in optimizer.param_groups])

    def groups(self, learning_rate):
        late, early = TinyTask.groups_of(self, learning_rate)
        return [{**late, "lr": learning_rate, "begins": 6.0}, early]

    monkeypatch.setattr(TinyTask, "parameter_groups", groups)
    hook = register_optimizer_step_pre_hook(note)
    settings = replace(SETTINGS, warmup_steps=2, schedule="linear")
    run(tmp_path / "parts", settings, watcher=Watcher(7))
    run(tmp_path / "parts", settings)
    hook.remove()
    late, early = ([pair[place] for pair in found] for place in (0, 1))
    assert early[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert late == pytest.approx([0, 0, 0, 0, 0, 0, 0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
    assert early[2:] == sorted(early[2:], reverse=True)


def test_a_validation_that_is_not_a_number_is_never_the_best(tmp_path):
    task = TinyTask()
    task.validations = [float("nan"), 2.0, float("inf"), 3.0]
    _, _, outcome = run(tmp_path, task=task)
    assert (outcome.best_epoch, outcome.best_metrics["val_total_loss"]) == (2, 2.0)


def test_without_validation_data_the_last_weights_are_the_result(tmp_path, monkeypatch):
    task = TinyTask()
    monkeypatch.setattr(task, "validate", dict)
    _, watcher, outcome = run(tmp_path, replace(SETTINGS, ema_decay=None), task)
    assert outcome.best_path is None
    assert outcome.checkpoint_path == tmp_path / LAST
    assert_same_weights(load_file(tmp_path / LAST), task.model.state_dict())
    assert "val_total_loss" not in watcher.rows[-1]


def test_validation_and_checkpoints_use_the_averaged_weights_and_training_keeps_its_own(
    tmp_path, monkeypatch
):
    task = TinyTask()
    validated = []
    original = task.validate

    def validate():
        validated.append({name: value.clone() for name, value in task.model.state_dict().items()})
        assert not task.model.training
        return original()

    monkeypatch.setattr(task, "validate", validate)
    run(tmp_path, task=task)
    assert_same_weights(load_file(tmp_path / LAST), validated[-1])
    assert not torch.equal(task.model.get_parameter("0.weight"), validated[-1]["0.weight"])


def test_a_checkpoint_carries_its_metrics(tmp_path):
    _, _, outcome = run(tmp_path)
    with safe_open(outcome.best_path, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["metrics"])["val_total_loss"] == outcome.best_metrics["val_total_loss"]
    assert metadata["epochs_completed"] == str(outcome.best_epoch)
    assert json.loads(metadata["config"]) == {"size": 8}


def test_the_resume_file_is_written_by_the_clock_and_holds_no_code(tmp_path):
    watcher = Watcher()
    watcher.save_every_s = 6.0
    run(tmp_path, watcher=watcher, clock=Clock(tick_s=1.0))
    assert 3 <= len(watcher.resumes) <= 12
    content = torch.load(tmp_path / RESUME, weights_only=True)
    assert content["state"]["epoch"] == SETTINGS.epochs
    assert not list(tmp_path.glob("partial-*"))


def test_progress_within_an_epoch_is_told_every_few_seconds(tmp_path):
    watcher = Watcher()
    run(tmp_path, replace(SETTINGS, report_every_s=2.0), watcher=watcher, clock=Clock(tick_s=1.0))
    within = [(epochs, message) for epochs, message in watcher.reports if epochs != int(epochs)]
    assert within
    assert within[0][1].startswith("Epoch 1 of 4, update ")
    slow = Watcher()
    run(tmp_path / "slow", replace(SETTINGS, report_every_s=60.0), watcher=slow, clock=Clock(tick_s=60.0))
    assert slow.reports[0][1].startswith("Epoch 1 of 4, update 1 of 3, loss ")
    assert slow.reports[0][1].endswith(", about 11 min left"), "one of twelve updates took a minute"
    quiet = Watcher()
    run(tmp_path / "quiet", watcher=quiet)
    assert [epochs for epochs, _ in quiet.reports] == [1.0, 2.0, 3.0, 4.0]


def test_an_update_with_an_infinite_loss_is_left_out_and_counted(tmp_path):
    task = TinyTask()
    task.poisoned = {0}
    _, watcher, outcome = run(tmp_path, task=task)
    assert outcome.skipped_steps == SETTINGS.epochs
    assert "4 updates left out" in outcome.message
    assert all(torch.isfinite(value).all() for value in task.model.state_dict().values())
    assert all(row["train_total_loss"] == row["train_total_loss"] for row in watcher.rows)


def test_a_run_that_gives_no_finite_numbers_any_more_has_diverged(tmp_path):
    task = TinyTask()
    task.poisoned = set(range(12))
    with pytest.raises(ModelError, match="diverged at epoch 2, update 2: 5 updates in a row"):
        run(tmp_path, replace(SETTINGS, max_skipped_in_a_row=4), task)


def test_the_task_may_end_the_run_with_its_own_reason(tmp_path, monkeypatch):
    task = TinyTask()

    def collapsed():
        raise ModelError("the transcriber answers nothing but blanks")

    monkeypatch.setattr(task, "validate", collapsed)
    with pytest.raises(ModelError, match="nothing but blanks"):
        run(tmp_path, task=task)


def test_nothing_to_train_on_is_the_users_to_mend(tmp_path, monkeypatch):
    task = TinyTask()
    monkeypatch.setattr(task, "batches", lambda epoch: [])
    with pytest.raises(UserError, match="nothing to train on"):
        run(tmp_path, task=task)


def test_running_out_of_memory_is_a_resource_error_that_says_what_to_do(tmp_path, monkeypatch):
    task = TinyTask()

    def too_large(batch):
        raise torch.OutOfMemoryError("tried to allocate 80 GiB")

    monkeypatch.setattr(task, "losses", too_large)
    with pytest.raises(ResourceError, match="Use a smaller batch size"):
        run(tmp_path, task=task)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EIO, "Input/output error"),
        RuntimeError("[enforce fail at inline_container.cc] PytorchStreamWriter failed writing file data/0"),
    ],
    ids=["full", "quota", "broken", "torch"],
)
def test_a_disk_that_takes_no_resume_file_stops_no_training(tmp_path, monkeypatch, caplog, error):
    run(tmp_path, watcher=Watcher(2))
    before = (tmp_path / RESUME).read_bytes()

    def refuses(content, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", refuses)
    watcher = Watcher()
    _, _, outcome = run(tmp_path, watcher=watcher)
    assert outcome.ended == "finished" and watcher.resumes == []
    assert "Where the training stands could not be saved" in caplog.text
    assert (tmp_path / RESUME).read_bytes() == before
    assert not list(tmp_path.glob("partial-*"))


def test_a_full_disk_is_a_resource_error_where_it_takes_no_checkpoint(tmp_path, monkeypatch):
    task = TinyTask()

    def full(path, metadata):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(task, "save", full)
    with pytest.raises(ResourceError, match="Free some disk space"):
        run(tmp_path, task=task)


@pytest.mark.parametrize("ended", ["finished", "stopped"])
def test_a_run_that_nobody_goes_on_with_writes_no_resume_file_at_its_end(tmp_path, monkeypatch, ended):
    watcher = Watcher(2 if ended == "stopped" else None)
    asked = []
    monkeypatch.setattr(watcher, "needs_resume", lambda *, finished: asked.append(finished))
    _, _, outcome = run(tmp_path, watcher=watcher)
    assert outcome.ended == ended and asked == [ended == "finished"]
    assert watcher.resumes == [] and not (tmp_path / RESUME).exists()


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", pickle.dumps(Evil(), 2), pickle.dumps({"format": 1}, 2)],
    ids=["empty", "junk", "code", "incomplete"],
)
def test_a_damaged_or_hostile_resume_file_costs_progress_but_runs_nothing(tmp_path, content, caplog):
    (tmp_path / RESUME).write_bytes(content)
    task, _, outcome = run(tmp_path)
    assert outcome.ended == "finished"
    assert "training starts from the beginning" in caplog.text
    fresh, _, _ = run(tmp_path / "fresh")
    assert_same_weights(task.model.state_dict(), fresh.model.state_dict())


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["state"].update(epoch="many"),
        lambda content: content["state"].update(epoch=-1),
        lambda content: content["state"].update(rows=[1]),
        lambda content: content.update(state=[1]),
        lambda content: content.update(settings=7),
        lambda content: content.update(best="a text"),
        lambda content: content.update(average={"tensors": 3, "updates": None}),
        lambda content: content["optimizer"].update(state="gone"),
    ],
)
def test_a_resume_file_with_senseless_values_costs_progress_only(tmp_path, caplog, change):
    run(tmp_path, watcher=Watcher(2))
    content = torch.load(tmp_path / RESUME, weights_only=True)
    change(content)
    torch.save(content, tmp_path / RESUME)
    _, _, outcome = run(tmp_path)
    assert outcome.ended == "finished"
    assert "training starts from the beginning" in caplog.text


def test_a_packed_resume_file_is_not_unpacked(tmp_path, caplog):
    """A few kilobytes of it may be gigabytes in memory."""
    run(tmp_path, watcher=Watcher(2))
    whole = tmp_path / "whole.pt"
    (tmp_path / RESUME).rename(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / RESUME, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    run(tmp_path)
    assert "it is packed" in caplog.text and "training starts from the beginning" in caplog.text


def test_a_resume_file_of_another_model_is_not_mixed_in(tmp_path, caplog):
    other = TinyTask()
    other.model[3] = torch.nn.Linear(8, 3)
    other.targets = other.targets[:, [0, 1, 1]]
    run(tmp_path, task=other)
    task, _, _ = run(tmp_path)
    assert "training starts from the beginning" in caplog.text
    fresh, _, _ = run(tmp_path / "fresh")
    assert_same_weights(task.model.state_dict(), fresh.model.state_dict())


def test_going_on_with_other_settings_says_which(tmp_path, caplog):
    run(tmp_path, watcher=Watcher(2))
    run(tmp_path, replace(SETTINGS, epochs=6))
    assert "epochs 4 -> 6" in caplog.text


def test_an_epoch_whose_batches_have_changed_starts_anew(tmp_path, caplog):
    run(tmp_path, watcher=Watcher(4))
    task, _, outcome = run(tmp_path, task=TinyTask(batch_size=3))
    assert "has other batches than before" in caplog.text
    assert outcome.ended == "finished"
    assert len(task.seen) == 3 * 4


def test_the_best_checkpoint_travels_within_the_resume_file(tmp_path):
    task = TinyTask()
    task.validations = [1.0, 2.0, 3.0]
    run(tmp_path, task=task, watcher=Watcher(7))
    best = (tmp_path / BEST).read_bytes()
    (tmp_path / BEST).unlink()
    task = TinyTask()
    task.validations = [4.0, 5.0]
    _, _, outcome = run(tmp_path, task=task)
    assert outcome.best_metrics["val_total_loss"] == 1.0
    assert outcome.best_path.read_bytes() == best


@pytest.mark.parametrize(("prefer_later", "epoch"), [(False, 2), (True, 4)])
def test_of_equally_good_checkpoints_the_asked_one_is_kept(tmp_path, prefer_later, epoch):
    task = TinyTask()
    task.validations = [3.0, 1.0, 2.0, 1.0, 2.0]
    _, _, outcome = run(tmp_path, replace(SETTINGS, prefer_later=prefer_later, epochs=5), task=task)
    assert outcome.best_epoch == epoch


def test_a_best_checkpoint_that_is_nowhere_is_not_promised(tmp_path, caplog):
    task = TinyTask()
    task.validations = [1.0, 2.0, 3.0]
    run(tmp_path, task=task, watcher=Watcher(7))
    (tmp_path / BEST).unlink()
    content = torch.load(tmp_path / RESUME, weights_only=True)
    torch.save({**content, "best": None}, tmp_path / RESUME)
    task = TinyTask()
    task.validations = [4.0, 5.0]
    _, _, outcome = run(tmp_path, task=task)
    assert "is missing" in caplog.text
    assert outcome.best_metrics["val_total_loss"] == 4.0
    assert outcome.best_path.exists()


def test_bf16_training_works_where_the_device_has_it_and_keeps_fp32_weights(tmp_path):
    task = TinyTask()
    kinds = set()
    original = task.model[0].forward

    def forward(inputs):
        result = original(inputs)
        kinds.add(result.dtype)
        return result

    task.model[0].forward = forward
    run(tmp_path, replace(SETTINGS, precision="bf16", epochs=1), task)
    assert kinds == {torch.bfloat16}
    assert task.model[0].weight.dtype == torch.float32


def test_accumulated_batches_make_the_update_that_one_large_batch_makes(tmp_path):
    def weights(batch_size, accumulation):
        task = TinyTask(batch_size=batch_size)
        dropout = task.model[1]
        assert isinstance(dropout, nn.Dropout)
        dropout.p = 0.0
        settings = replace(SETTINGS, epochs=1, accumulation=accumulation, ema_decay=None)
        run(tmp_path / f"{batch_size}", settings, task)
        return task.model.state_dict()

    small, large = weights(2, 3), weights(6, 1)
    for name, value in small.items():
        assert torch.allclose(value, large[name], atol=1e-6), name


def test_a_warm_up_longer_than_the_run_is_shortened(tmp_path, caplog):
    _, _, outcome = run(tmp_path, replace(SETTINGS, warmup_steps=2000))
    assert "A warm-up of 2000 updates is too long for 12 in all; using 6" in caplog.text
    assert outcome.ended == "finished"
