"""A session of the playground: the state of one page, its runs, and the thread that trains them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._utils.fields import choice, count
from nncore._version import __version__
from nncore.playground import catalog, datasets, frame, initialization, momentum, race, script, spec
from nncore.playground.arrays import message, refused
from nncore.playground.clock import Clock
from nncore.playground.datasets import Own
from nncore.playground.lessons import LESSONS
from nncore.playground.moment import Moment
from nncore.playground.parameters import filled
from nncore.playground.run import Run, same_weights
from nncore.playground.together import advance, leader

__all__ = ["Session"]

Array = NDArray[Any]
Answer = tuple[dict[str, Any], dict[str, Array]]

PORTION = 0.005  # seconds of training between two looks at what the page wants
MOST_STEPS = 1_000_000  # of a request
LEFT = 10.0  # seconds without a request after which nobody looks: the training waits for the next one


class Session:
    """What one page shows. Requests are answered while a thread trains.

    Parameters
    ----------
    own : Own, optional
        The user's data.
    first : dict, optional
        The state to begin with.
    """

    def __init__(self, own: Own | None = None, first: dict[str, Any] | None = None) -> None:
        self.name, self.own = secrets.token_urlsafe(12), own
        self.state: dict[str, Any]
        self.runs: list[Run]
        self.clock: Clock
        self.start = 0  # changes with every reset
        self.playing = False
        self.lock = threading.Lock()  # of the runs, for a portion of steps or a request
        self._answering = threading.Lock()  # requests come from several threads, and share the views
        self._wanted = threading.Event()  # a request waits for the lock
        self._wake = threading.Condition()
        self._closed, self._asked = False, time.monotonic()
        self._begin(first or spec.default(own))
        self._thread = threading.Thread(target=self._train, name="nncore-playground", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the training thread."""
        with self._wake:
            self._closed, self.playing = True, False
            self._wake.notify_all()
        self._thread.join()

    # ---- requests

    def handle(self, request: Any) -> tuple[dict[str, Any], bytes]:
        """The reply to a request of ``types.d.ts``: a header, and the bytes of its arrays."""
        identity = request.get("id") if isinstance(request, Mapping) else None
        try:
            with self._answering:
                header, arrays = self._answer(request)
        except Exception as error:  # whatever it is, the page must hear of it, or it waits for ever
            header, arrays = refused(error), {}
        header = {**header, "id": identity if isinstance(identity, (int, str)) else None}
        return message(header, arrays) if arrays else (header, b"")

    def _answer(self, request: Any) -> Answer:
        kind = request.get("type") if isinstance(request, Mapping) else request
        answer = REQUESTS[choice("type", kind, tuple(REQUESTS))]
        self._attend()
        self._wanted.set()
        with self.lock:
            self._wanted.clear()
            reply = answer(self, request)
        return reply() if callable(reply) else reply

    def hello(self, request: Mapping[str, Any]) -> Answer:
        """Who is there, and what there is to choose from. A session that is new takes the page's state."""
        given, complaint = request.get("state"), None
        if given is not None and request.get("session") != self.name:
            try:
                self._adopt(given)
            except Exception as error:
                complaint = refused(error)["message"]
        header = {
            "type": "welcome", "session": self.name, "catalog": catalog.catalog(), "lessons": LESSONS, "state": self.state,
            "own": self.own is not None, "version": __version__, "start": self.start, "playing": self.playing,
            "message": complaint,
        }  # fmt: skip
        return header, {}

    def adopt(self, request: Mapping[str, Any]) -> Answer:
        self._adopt(request["state"])
        return {"type": "adopted", "state": self.state, "start": self.start}, {}

    def _adopt(self, given: Any) -> None:
        """Take a state: go on with it where the networks stay the same, else start over. All or nothing."""
        state = spec.completed(given, self.own)
        before, after = self.state["runs"], state["runs"]
        if len(before) == len(after) and all(map(same_weights, before, after)) and state["data"] == self.state["data"]:
            self._go_on(state)
        else:
            self._begin(state)
        self.clock.rate = state["speed"]
        with self._wake:
            self._wake.notify_all()

    def _go_on(self, state: dict[str, Any]) -> None:
        """With the weights as they are; a run that has not begun gets those of its layers: dropout is one, and changes them."""
        pairs = list(zip(self.runs, state["runs"], strict=True))
        new = [run if wanted == run.state else Run(wanted, self.examples) for run, wanted in pairs]  # raises, or all fit
        self.runs = [run.adopt(wanted) if run.step else made for made, (run, wanted) in zip(new, pairs, strict=True)]
        self.views = [run.model.copy() for run in self.runs]
        self.state = state

    def _begin(self, state: dict[str, Any]) -> None:
        """Start over from the seeds."""
        examples = datasets.examples(state["data"], self.own)
        runs = [Run(run, examples) for run in state["runs"]]
        self.examples, self.state, self.runs = examples, state, runs
        self.views, self.clock = [run.model.copy() for run in runs], Clock(state["speed"])
        self.start += 1

    def play(self, request: Mapping[str, Any]) -> Answer:
        with self._wake:
            self.playing = True
            self.clock.restart()
            self._wake.notify_all()
        return DONE

    def pause(self, request: Mapping[str, Any]) -> Answer:
        self.playing = False
        return DONE

    def reset(self, request: Mapping[str, Any]) -> Answer:
        self.playing = False
        self._begin(self.state)
        return DONE

    def step(self, request: Mapping[str, Any]) -> Answer:
        self.playing = False
        advance(self.runs, count("steps", request["steps"], below=MOST_STEPS + 1))
        return DONE

    def epoch(self, request: Mapping[str, Any]) -> Answer:
        self.playing = False
        steps = leader(self.runs).steps
        advance(self.runs, steps.per_epoch - steps.position)
        return DONE

    def phase(self, request: Mapping[str, Any]) -> Answer:
        self.playing = False
        for run in self.runs:
            run.next_phase()
        return DONE

    def frame(self, request: Mapping[str, Any]) -> Any:
        """The pictures are computed from copies, while the training goes on."""
        wanted = frame.checked(request, self.examples)
        moments = [Moment.of(run, view) for run, view in zip(self.runs, self.views, strict=True)]
        header = {"type": "frame", "start": self.start, "playing": self.playing, "rate": self.clock.measured()}

        def pictures() -> Answer:
            with np.errstate(all="ignore"):  # of networks that diverge
                runs = [frame.frame_run(moment, wanted, number) for number, moment in enumerate(moments)]
            arrays = {name: array for _, own in runs for name, array in own.items()}
            return {**header, "runs": [run for run, _ in runs]}, arrays

        return pictures

    def points(self, request: Mapping[str, Any]) -> Answer:
        return frame.points(self.examples)

    def code(self, request: Mapping[str, Any]) -> Answer:
        """What is seen as a program: the race on a landscape, else the runs."""
        if self.state["view"] == "landscape" and self.state["landscape"]["name"] != "network":
            return {"type": "code", "text": script.race_script(self.state["landscape"])}, {}
        return {"type": "code", "text": script.script(self.runs, self.state["data"])}, {}

    def landscape(self, request: Mapping[str, Any]) -> Any:
        given = filled("landscape", request["landscape"], spec.LANDSCAPE)
        network = Moment.of(self.runs[0], self.views[0]).network()
        return lambda: race.answer(given, network)

    def momentum(self, request: Mapping[str, Any]) -> Any:
        return lambda: momentum.answer(filled("momentum", request["momentum"], spec.STATE["momentum"]))

    def initialization(self, request: Mapping[str, Any]) -> Any:
        return lambda: initialization.answer(filled("initialization", request["initialization"], spec.STATE["initialization"]))

    # ---- training

    def _train(self) -> None:
        """The training thread."""
        while not self._closed:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or (self.playing and self._attended()))
            self._portion()
            while self._wanted.is_set():  # let the page in
                time.sleep(0.0002)

    def _attended(self) -> bool:
        return time.monotonic() - self._asked < LEFT

    def _attend(self) -> None:
        """A request has come."""
        left, self._asked = not self._attended(), time.monotonic()
        if left:
            with self._wake:
                self._wake.notify_all()

    def _portion(self) -> None:
        """Steps of about 5 ms, as many as are due."""
        with self.lock:
            if not self.playing:
                return
            due = self.clock.due(PORTION)
            if due:
                start = time.perf_counter()
                taken = advance(self.runs, due)
                self.clock.took(due, taken, time.perf_counter() - start)
                self.playing = self.playing and not all(run.ended for run in self.runs)
        if not due:
            time.sleep(min(self.clock.wait(), 0.05))


DONE: Answer = ({"type": "done"}, {})
REQUESTS: dict[str, Callable[[Session, Mapping[str, Any]], Any]] = {
    "hello": Session.hello, "state": Session.adopt, "play": Session.play, "pause": Session.pause, "reset": Session.reset,
    "step": Session.step, "epoch": Session.epoch, "phase": Session.phase, "frame": Session.frame, "points": Session.points,
    "code": Session.code, "landscape": Session.landscape, "momentum": Session.momentum,
    "initialization": Session.initialization,
}  # fmt: skip
