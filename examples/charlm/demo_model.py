"""The model of the demo: the first pruned one of a run, with a snippet of text that it has never seen."""

from __future__ import annotations

from examples.charlm.corpus import Symbols, decode, encode
from examples.charlm.network import bits_per_character
from examples.charlm.run import DENSE, Run, pruned_name

SNIPPET_COLUMNS = 4  # that the demo's kernel reads side by side
_SNIPPET_CHARACTERS = 2400


def save_demo(run: Run) -> None:
    """Writes it to ``--save``, with the bits a character of the dense network, which does not travel."""
    name = pruned_name(run.options.densities[0])
    if name not in run.models or DENSE not in run.networks:
        run.say(f"--save needs {DENSE} and {name}, for which there was no time; nothing is written")
        return
    folder, text, model = run.options.save, snippet(run.corpus.heldout), run.models[name]
    bits = {
        part: {
            "heldout": run.results.models[key]["bits_per_character"],
            "snippet": bits_per_character(run.networks[key], encode(text), SNIPPET_COLUMNS),
        }
        for part, key in (("dense", DENSE), ("pruned", name))
    }
    model.about.update(
        density=run.options.densities[0],
        bits_per_character=bits,
        snippet_columns=SNIPPET_COLUMNS,
        steps=run.results.models[name]["steps"],
        gpu=run.machine.gpu,
        commit=run.options.commit,
    )
    model.save(folder, small=True)
    (folder / "heldout.txt").write_text(text, "utf-8")
    run.say(f"saved the model of the demo in {folder}")


def snippet(heldout: Symbols) -> str:
    """Some lines from the middle of the held-out text, from a function's first one where there is any."""
    text = decode(heldout[len(heldout) // 2 :][: 4 * _SNIPPET_CHARACTERS])
    begin = next((at for word in ("\n    def ", "\ndef ", "\n") if (at := text.find(word)) >= 0), -1)
    return text[begin + 1 :][:_SNIPPET_CHARACTERS]
