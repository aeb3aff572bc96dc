"""An attempt with a real child process: how it ends, whatever happens to it."""

from tests.support.jobs import Stage


def test_a_job_that_works_is_completed(tmp_path):
    stage = Stage(
        tmp_path,
        """
        callbacks.heartbeat(epochs_completed=2, message="halfway", stage="training")
        print("a line of the handler")
        (folder / "model.csv").write_text("a model")
        path = scanner.publish_artifact(folder / "model.csv", "checkpoint")
        return {"success": True, "epochs_completed": 3, "checkpoint_path": path, "metrics": {"cer": 0.5}}
        """,
    )

    outcome = stage.run()

    assert outcome is not None and outcome.state == "completed"
    response = stage.response()
    assert response["state"] == "completed" and response["epochs_completed"] == 3
    assert stage.server.files()[response["result"]["checkpoint_path"]] == b"a model"
    assert response["result"]["metrics"] == {"cer": 0.5}
    assert "job: a line of the handler" in stage.log()
    assert "worker: attempt: 1-" in stage.log()
