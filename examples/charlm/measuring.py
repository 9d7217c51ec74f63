"""What is known of the kernels of a run: their results on held-out text, and everybody's times."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import Future, TimeoutError
from pathlib import Path
from typing import Any

from examples.charlm import timing
from examples.charlm.kernels import Variant, check_kernel, decisions
from examples.charlm.run import DENSE, EQUAL, Run
from sprnnc import Artifact

_LAST_SECONDS = 5


def check_kernels(run: Run) -> None:
    """Waits for each kernel and runs it; what fails is written as a row, and the others go on."""
    for name, variant, build in run.builds:
        row: dict[str, Any] = {"batch": variant.batch, "dtype": variant.dtype}
        try:
            row |= _checked(run, name, variant, build)
            bits, error = row["bits_per_character"], row["relative_error"]
            run.say(f"{name} {variant.file}: {bits:.4f} bits a character, error {error:.1e} against float64")
        except (Exception, SystemExit) as error:  # whatever it is, it is this row's
            row["failure"] = _one_line(error)
            run.say(f"{name} {variant.file}: {row['failure']}")
        run.results.append(name, "kernels", row)


def _checked(run: Run, name: str, variant: Variant, build: Future[float]) -> dict[str, Any]:
    machine = run.machine
    try:
        seconds = build.result(timeout=max(1.0, run.deadline - time.monotonic()))
    except TimeoutError:
        raise SystemExit("not compiled in time") from None
    artifact = Artifact.load(run.work / name / variant.file)
    found = check_kernel(
        artifact,
        run.models[name],
        run.corpus.heldout,
        machine.runs_on,
        machine.kernel_steps,
        machine.checked_steps,
    )
    return found | {"compile_seconds": seconds, "decisions": decisions(artifact)}


def measure(run: Run, building: subprocess.Popen[str] | None) -> None:
    """Microseconds a step of everything, one after the other, when nothing else runs."""
    for name, variant, _ in run.builds:
        file = run.work / name / variant.file
        if file.exists():
            times = timing.ours(Artifact.load(file), run.models[name], run.corpus.heldout)
            _timed(run, name, "sprnnc", variant, timing.summary(times))
    dense = [name for name in (DENSE, EQUAL) if name in run.networks]
    for name in dense:
        for batch in run.options.batches:
            for dtype in ("fp16", "tf32", "fp32"):
                times = timing.torch_nn(run.networks[name], run.corpus.heldout, batch, dtype)
                _timed(run, name, "torch.nn", Variant(batch, dtype), timing.summary(times))
    library = run.options.peers or _built(run, building)
    for name in dense if library else []:
        for batch in run.options.batches:
            for dtype in ("fp16", "fp32"):
                _time_cudnn(run, library, name, Variant(batch, dtype))


def _time_cudnn(run: Run, library: Path, name: str, variant: Variant) -> None:
    """The fastest algorithm's time, and what all of them gave."""
    try:
        deadline = run.deadline - _LAST_SECONDS
        found = timing.cudnn(library, run.models[name], variant.batch, variant.dtype, deadline)
    except Exception as error:  # a peer is not ours: whatever it raises, the rest goes on
        found = {"cudnn": _one_line(error)}
    measured = {peer: us for peer, us in found.items() if isinstance(us, float)}
    best = min(measured, key=lambda peer: measured[peer], default=None)
    median = {"median_us": measured[best], "algorithm": best} if best else {}
    _timed(run, name, "cudnn", variant, {**median, "all": found})


def _timed(run: Run, name: str, system: str, variant: Variant, values: dict[str, Any]) -> None:
    row = {"system": system, "batch": variant.batch, "dtype": variant.dtype, **values}
    run.results.append(name, "times", row)
    shown = f"{values['median_us']:.3f} us a step" if "median_us" in values else "no time"
    run.say(f"{name}: {system} B={variant.batch} {variant.dtype}: {shown}")


def _built(run: Run, building: subprocess.Popen[str] | None) -> Path | None:
    """The library of the peers, or None, and then the results say why."""
    if building is None:
        return None
    try:
        output, _ = building.communicate(timeout=max(1.0, run.deadline - _LAST_SECONDS - time.monotonic()))
    except subprocess.TimeoutExpired:
        output = "not built in time"
    library = run.work / "peers.so"
    if building.returncode == 0 and library.exists():
        return library
    run.results.header["peers_failure"] = output[-400:]
    run.say(f"cuDNN's algorithms cannot be timed: {output[-400:]}")
    return None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, SystemExit) else f"{type(error).__name__}: {text}"
