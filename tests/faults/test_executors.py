"""`make faults`: the same study under local, slurm and ray; killed jobs, killed workers, a node that goes away."""

import os
import signal
import threading
from pathlib import Path

import harness
import pytest

from bench.run.executors.slurm import JOBS_FOLDER

pytestmark = pytest.mark.slow
SLURM = ("--executor", "slurm", "--option", "cluster=local", "--jobs", "2")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Study file, and the folder of its run under the local executor."""
    folder = tmp_path_factory.mktemp("local")
    study = harness.write_study(folder, ["smdim", "transformer"], 2)
    harness.run_whole(study, folder, "--jobs", "2")
    return study, folder


def test_a_killed_slurm_job_is_submitted_again(local: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    study, whole = local
    process = harness.start(study, tmp_path, *SLURM)
    harness.wait_for(lambda: bool(_running(tmp_path)))
    job = _parent_of(_running(tmp_path)[0])
    os.kill(job, signal.SIGKILL)
    assert process.wait() == 0, (tmp_path / "run.log").read_text()[-2000:]
    report = harness.compare(harness.Report(), whole, tmp_path)
    jobs = len(list((tmp_path / "results" / "faults" / JOBS_FOLDER).glob("*_submitted.pkl")))
    print(f"\nslurm (submitit local), one job killed: {report.cells} cells in {jobs} jobs\n{report.found}")
    assert report.clean, report
    assert jobs == report.cells + 1


def test_ray_survives_a_killed_worker_and_a_lost_node(local: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    study, whole = local
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        options = ("--executor", "ray", "--option", f"address={cluster.address}")
        process = harness.start(study, tmp_path, *options)
        harness.wait_for(lambda: len(_running(tmp_path)) == 2)
        os.kill(_running(tmp_path)[0], signal.SIGKILL)
        threading.Timer(5.0, lambda: cluster.remove_node(second, allow_graceful=False)).start()
        assert process.wait() == 0, (tmp_path / "run.log").read_text()[-2000:]
    finally:
        cluster.shutdown()
    report = harness.compare(harness.Report(), whole, tmp_path)
    begun = sum(harness.attempts(tmp_path).values())
    print(
        f"\nray, a worker killed and one of two nodes removed: {report.cells} cells begun {begun} times\n{report.found}"
    )
    assert report.clean, report
    assert begun > report.cells


def _running(folder: Path) -> list[int]:
    """Process numbers of the servers that measure cells below `folder`."""
    workers = [pid for pid in harness.processes_of(folder) if "bench.run.worker" in harness.command_line(pid)]
    return [pid for pid in workers if _parent_of(pid) not in workers]


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
