"""One living owner a key; what a dead owner held is free."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from bench.run.lease import FOLDER, STALE_S, Leases, holders, start_mark

HOLD = """
import sys, time
from pathlib import Path
from bench.run.lease import Leases
owner = Leases(Path(sys.argv[1])).__enter__()
print("held" if owner.take("cell-1") else "refused", flush=True)
time.sleep(600)
"""


def test_a_held_key_is_refused_and_free_once_released(tmp_path: Path) -> None:
    with Leases(tmp_path) as one, Leases(tmp_path) as two:
        lease = one.take("cell-1")
        assert lease is not None
        assert one.take("cell-1") is None
        assert two.take("cell-1") is None
        assert two.take("cell-2") is not None
        assert {key: holder.pid for key, holder in holders(tmp_path).items()} == {
            "cell-1": os.getpid(),
            "cell-2": os.getpid(),
        }
        one.release(lease)
        assert two.take("cell-1") is not None
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_killed_owner_loses_what_it_held(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-P", "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    with Leases(tmp_path) as owner:
        assert owner.take("cell-1") is None
        process.kill()
        process.wait()
        assert holders(tmp_path) == {}
        assert owner.take("cell-1") is not None
    process.stdout.close()


def test_a_process_number_used_again_is_not_the_owner(tmp_path: Path) -> None:
    with Leases(tmp_path) as other, Leases(tmp_path) as owner:
        assert other.take("cell-1") is not None
        content = json.loads(other.file.read_text())
        assert content["started"] == start_mark(os.getpid()) != ""
        other.file.write_text(json.dumps(content | {"started": "1"}))
        assert owner.take("cell-1") is not None


def test_an_owner_elsewhere_lives_by_its_heartbeat(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    distant = folder / "far.json"
    distant.write_text(json.dumps({"host": "far", "place": "another boot", "pid": 1, "started": "1"}))
    (folder / "cell-1@far.lease").touch()
    with Leases(tmp_path) as owner:
        assert owner.take("cell-1") is None
        assert holders(tmp_path)["cell-1"].host == "far"
        silent = time.time() - STALE_S - 5
        os.utime(distant, (silent, silent))
        assert owner.take("cell-1") is not None
    with Leases(tmp_path):
        assert not distant.exists(), "a dead owner that holds nothing is forgotten"


def test_many_that_grab_at_once_never_hold_together(tmp_path: Path) -> None:
    holding: Counter[str] = Counter()
    most: Counter[str] = Counter()
    guard = threading.Lock()

    def grab() -> None:
        with Leases(tmp_path) as owner:
            for turn in range(30):
                key = f"cell-{turn % 3}"
                lease = owner.take(key)
                if lease is None:
                    continue
                with guard:
                    holding[key] += 1
                    most[key] = max(most[key], holding[key])
                time.sleep(0.0005)
                with guard:
                    holding[key] -= 1
                owner.release(lease)

    threads = [threading.Thread(target=grab) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == {"cell-0": 1, "cell-1": 1, "cell-2": 1}
