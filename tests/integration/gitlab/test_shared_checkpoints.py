"""A job of one project starts from a checkpoint of another, where the operator of the worker shares it."""

from functools import partial

from codex_worker.contract.exit_codes import ExitCode
from tests.integration.gitlab.test_worker_on_gitlab import MODEL, Place
from tests.support.gitlab import GitLabServer
from tests.support.jobs import handlers_with, manifest

PATH = "gpu_jobs/job_old/checkpoint/asr.safetensors"
FETCH = """
said = {}
for name in job.config["x_checkpoints"]:
    try:
        said[name] = len(scanner.fetch_checkpoint(name).read_bytes())
    except Exception as error:
        said[name] = str(error)
return {"said": said}
"""


def add(files, project):
    project.update(files)


def test_a_job_reads_checkpoints_of_shared_projects_and_of_no_other(tmp_path):
    with GitLabServer(tmp_path / "server") as server:
        place = Place(tmp_path, server)
        projects = {}
        for name in ("team/luke", "team/secret", "team/left"):
            projects[name] = place.project(name, {"gpu_jobs/manifest.yaml": manifest()})
            files = {PATH: place.recording(projects[name], MODEL)}
            place.repositories[name].edit(partial(add, files))
        server.state.by_path["team/left"].members.pop(server.state.user("worker").id)
        wanted: dict[str, int | str] = {
            f"team/luke:{PATH}": len(MODEL),
            f"{server.url}/team/luke.git:{PATH}": len(MODEL),
            f"{projects['team/luke'].id}:{PATH}": len(MODEL),
            "team/luke:gpu_jobs/job_new/checkpoint/none.safetensors": "in the project team/luke (any more)",
            "team/luke:gpu_jobs/../notes.txt": "does not name a file inside the project",
            f"team/secret:{PATH}": "shares no checkpoints of a project team/secret",
            f"{projects['team/secret'].id}:{PATH}": "shares no checkpoints",
            f"team/left:{PATH}": "this worker cannot read it",
            PATH: "There is no checkpoint",
        }
        jobs = manifest({"job_id": "one", "x_checkpoints": list(wanted)})
        place.project("team/mark", {"gpu_jobs/manifest.yaml": jobs})
        code = handlers_with(tmp_path / "code", asr_w2v2bert_training=FETCH)
        shared = [f"--shared-checkpoints={server.url}/team/{name}" for name in ("luke", "left")]

        status, output = place.process(code, *shared, GITLAB_TOKEN=place.token)

        assert status == ExitCode.DONE, output
        response = place.response("team/mark")
        assert response["state"] == "completed", output
        said = response["result"]["said"]
        for name, answer in wanted.items():
            got = said[name]
            if isinstance(answer, str):
                assert answer in got, name
            else:
                assert got == answer, name
