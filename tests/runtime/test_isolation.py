"""The runtime stands alone: it imports nothing of the compiler, and runs where only NumPy is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import sprnn_runtime

import sprnnc

FORBIDDEN = ("sprnnc", "lark", "jinja2", "scipy", "rich", "ml_dtypes", "cuda")
MOST_SECONDS = 0.05

IMPORT = """
import json, sys, time
import numpy
began = time.process_time()  # of this process: others may keep the cores busy
import sprnn_runtime
print(json.dumps([time.process_time() - began, sorted(sys.modules)]))
"""

RUN = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {forbidden!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Block())
import numpy as np
import sprnn_runtime
layer = sprnn_runtime.load(sys.argv[1])
y, state = layer(np.load(sys.argv[2]))
np.savez(sys.argv[3], y=y, **state)
print(layer.device_name)
"""


def python(code: str, *args: object, options: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *options, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_runtime_brings_in_nothing_else_and_is_quick() -> None:
    runs = [json.loads(python(IMPORT))]
    while runs[-1][0] >= MOST_SECONDS and len(runs) < 20:  # another process may have had the core
        runs.append(json.loads(python(IMPORT)))
    tops = {name.split(".")[0] for name in runs[0][1]}
    assert not tops & set(FORBIDDEN)
    assert min(seconds for seconds, _ in runs) < MOST_SECONDS


def test_an_artifact_runs_where_the_compiler_is_not_installed(
    artifact: sprnnc.Artifact, path: Path, x: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "out.npz"
    device = python(RUN.format(forbidden=FORBIDDEN), path, tmp_path / "x.npy", out)
    assert device.strip() == "sim"
    wanted = sprnnc.execute(artifact, x, device="sim")
    got = np.load(out)
    np.testing.assert_array_equal(got["y"], wanted.y)
    for name, state in wanted.state.items():
        np.testing.assert_array_equal(got[name], state)


ALONE = """
import sys
sys.path.append(sys.argv.pop(1))
import importlib.util
absent = [n for n in {forbidden!r} if importlib.util.find_spec(n) is None]
assert absent == list({forbidden!r}), absent
import numpy as np
import sprnn_runtime
y, state = sprnn_runtime.load(sys.argv[1])(np.load(sys.argv[2]))
np.savez(sys.argv[3], y=y, **state)
"""


def test_an_artifact_runs_where_nothing_but_numpy_is_installed(
    artifact: sprnnc.Artifact, path: Path, x: np.ndarray, tmp_path: Path
) -> None:
    """A Python without site-packages, and a folder with NumPy and the runtime alone."""
    site = tmp_path / "site"
    site.mkdir()
    numpy, runtime = Path(np.__file__).parent, Path(sprnn_runtime.__file__).parent
    for package in (numpy, numpy.with_name("numpy.libs"), runtime):
        if package.exists():
            (site / package.name).symlink_to(package)
    np.save(tmp_path / "x.npy", x)
    code, out = ALONE.format(forbidden=FORBIDDEN), tmp_path / "out.npz"
    python(code, site, path, tmp_path / "x.npy", out, options=("-I", "-S"))
    wanted = sprnnc.execute(artifact, x, device="sim")
    np.testing.assert_array_equal(np.load(out)["y"], wanted.y)
