"""The directive ``.. live::``: a network that learns in the page, without a server.

The page runs the programs that Python compiles, as WebAssembly (``wasm.py``). Until it does, and where the compiler is missing
when the pages are built, it shows what the directive contains.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import wasm

import nncore as nn
from nncore.playground.bundle import STATIC, bundle
from nncore.program.compiled import Compiled
from nncore.program.recording import ModelTape
from nncore.program.stages import stages
from nncore.training.loop import TrainingLoop

FOLDER = Path(__file__).parent / "live"
SCRIPT = "live_network.js"
MODULES = ("canvas.js", "colors.js", "dom.js")  # of the playground
SIDE, HALF = 64, 1.2  # points of the plane on each side, and half of its length
EXAMPLES, BATCH, STEPS, UNITS = 192, 32, 4002, 8
SEEDS = (1, 0, 2, 3, 4, 5)
DATA = {
    "two spirals": nn.data.two_spirals(EXAMPLES, noise=0.02), "circles": nn.data.circles(EXAMPLES, noise=0.05),
    "exclusive or": nn.data.quadrants(EXAMPLES, noise=0.05), "two moons": nn.data.moons(EXAMPLES, noise=0.1),
}  # fmt: skip


def trainer(seed: int = SEEDS[0]) -> nn.Trainer:
    """The training of the page."""
    layers = [nn.Dense(UNITS), nn.SiLU(), nn.Dense(UNITS), nn.SiLU(), nn.Dense(2)]
    rate = nn.schedules.Cosine(0.03, steps=STEPS)
    return nn.Trainer(nn.Sequential(layers, input_shape=2, seed=seed), "softmax_cross_entropy", nn.Adam(lr=rate), seed=0)


def programs() -> tuple[str, dict[str, Any]]:
    """The programs in C, and what the page knows of them: arrays (type, shape) and constants."""
    own = trainer()
    model = own.model
    data = own._data(*next(iter(DATA.values())))
    loop = own._loop(data, BATCH, nn.samplers.Shuffled())
    assert isinstance(loop, TrainingLoop)  # Adam takes gradient steps
    training = loop.program
    training.coming.take(STEPS, loop.per_epoch)
    (_, _, X), (_, _, y) = binds = training.binds(data)
    update = next(op for _, op in training.compiled.step_ops if op.kernel == "adam_update")

    axis = np.linspace(-HALF, HALF, SIDE, dtype=np.float32)
    plane = np.stack(np.meshgrid(axis, -axis), axis=-1).reshape(-1, 2)
    recording = ModelTape.forward(model, len(plane), fused=False)
    look = Compiled(recording.tape, stages([recording.gather, *recording.tape.forward]), before=recording.prepare())

    arrays = {
        "parameters": model.parameters, "m": update.arrays[2], "v": update.arrays[3], "X": X, "y": y, "plane": plane,
        **{f"W{k + 1}": model.layers[2 * k].weight for k in range(3)},
        **{signal.name: signal.value for signal in recording.tape.signals},
        "starts": np.array([trainer(seed).model.parameters for seed in SEEDS]),
        "X_sets": np.array([X for X, _ in DATA.values()]), "y_sets": np.array([y for _, y in DATA.values()]),
        "coefficients": training.coming.known.rows, "losses": np.zeros((STEPS, 2)),
    }  # fmt: skip
    constants = {
        "STEPS": STEPS, "EXAMPLES": EXAMPLES, "BATCH": BATCH, "EPOCH": loop.per_epoch, "SEED": own.seed, "POINTS": len(plane),
        "COLUMNS": arrays["coefficients"].shape[1],
    }  # fmt: skip
    parts = [
        wasm.Part("train", training.compiled, training.recording.tape.block_rows, binds, stops=True),
        wasm.Part("look", look, recording.tape.block_rows, look.bind(plane)),
    ]
    shown = {name: [str(array.dtype), array.shape] for name, array in arrays.items()}
    constants_of_page = {**constants, "STARTS": len(SEEDS), "SIDE": SIDE, "UNITS": UNITS, "HALF": HALF}
    return wasm.source(parts, arrays, constants), {"arrays": shown, "constants": constants_of_page, "data": list(DATA)}


def script() -> str | None:
    """The script of the page, with the module in it: a page from a file may not load other files. None without the compiler."""
    text, program = programs()
    module = wasm.compiled(FOLDER / "live.c", text)
    if module is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for path in [*FOLDER.glob("*.js"), *(STATIC / name for name in MODULES)]:
            shutil.copy(path, folder)
        page = bundle(Path(folder), "live", "live").replace("\nexport ", "\n")
    program["wasm"] = base64.b64encode(module).decode()
    return f'"use strict";\n(() => {{\n{page}\nlive(document.querySelector(".live-network"), {json.dumps(program)});\n}})();\n'


def write(app: Any) -> None:
    """Write the script beside the pages."""
    if app.builder.format != "html":
        return
    text, target = script(), Path(app.outdir) / "_static" / SCRIPT
    target.unlink(missing_ok=True)
    app.config.live_network = text is not None
    if text is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class Live(SphinxDirective):
        has_content = True

        def run(self) -> list[nodes.Node]:
            place = nodes.container(classes=["live-network"])
            self.state.nested_parse(self.content, self.content_offset, place)
            address = "../" * self.env.docname.count("/") + f"_static/{SCRIPT}"
            code = f'<script defer src="{address}"></script>' if self.config.live_network else ""
            return [place, nodes.raw("", code, format="html")]

    app.add_config_value("live_network", False, "env")
    app.add_directive("live", Live)
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
