"""The steps of a model on PyTorch as graphs of operations: recorded while the model's own step runs, and run in its place later.

Of a short step most is Keras's Python around PyTorch's operations. ``make_fx`` writes down every operation of a step, those of autograd and
of the optimizer too; the same operations on the same numbers give the same results, to the bit (docs/decisions/009-recorded-steps.md).

A graph knows nothing of the Python around its operations. So a step is recorded only where that is Keras's and PyTorch's own: no line of
the user's, and no choice that depends on a number in a tensor. Two recordings of it must be equal, and a change of any attribute of
the model, its layers, losses, metrics or optimizer makes them void (``keras_settings``).

Rules: whatever cannot be recorded runs as ever; a recording that fails leaves the variables of the model as they were.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from types import FrameType
from typing import Any, Literal

import keras
import torch

from stoker.backend.keras_common import kept_by_phase
from stoker.backend.keras_settings import Settings
from stoker.backend.protocol import Phase, Raw
from stoker.batch.tree import leaves, map_leaves

AFTER_STEPS = 100
"""Steps before the first recording: two of them take as long as about 200 steps, and short trainings are spared that."""
LONG_STEP_S = 0.1
"""Of a step that takes longer, Keras's Python is too little."""
MOST_FORMS = 4
"""Shapes of batches that are recorded; others run as ever."""
MOST_CHANGES = 3
"""How often settings may change before nothing is recorded any more."""
MOST_COPIED_BYTES = 1 << 30
"""Variables are copied before a recording, to be put back should it fail."""

TRUSTED = frozenset(sys.stdlib_module_names) | {"keras", "torch", "numpy", "optree", "ml_dtypes", "stoker"}
"""Packages whose Python does the same at every step of a form, but for what settings and numbers decide."""

Step = Callable[[Any], Any]


class Graph:
    """A step as the list of its operations.

    Args:
        module: what ``make_fx`` made: a function of the variables and the batch; gives results and gradients.
        form: the structure of a step's result, with numbers in the place of tensors.
    """

    def __init__(self, module: Any, form: Any) -> None:
        self._module = module
        self._run = module.forward
        self._form = form

    def equals(self, other: Graph) -> bool:
        """Whether both run the same operations on the same constants."""
        mine, others = self._constants(), other._constants()
        is_same_code = bool(self._module.code == other._module.code and self._form == other._form)
        return is_same_code and mine.keys() == others.keys() and all(_are_same(value, others[name]) for name, value in mine.items())

    def _constants(self) -> dict[str, Any]:
        return {node.target: getattr(self._module, node.target) for node in self._module.graph.nodes if node.op == "get_attr"}

    def run(self, values: list[torch.Tensor], trained: list[torch.Tensor], batch: list[torch.Tensor]) -> Raw:
        """Run the step; the gradients are where ``backward`` leaves them.

        Args:
            values: of the variables, which are changed.
            trained: those with gradients.
            batch: the tensors of the batch.
        """
        for value in trained:
            value.grad = None
        with torch.no_grad():
            made = self._run(*values, *batch)
        for value, gradient in zip(trained, made[len(made) - len(trained):], strict=True):
            value.grad = gradient
        return map_leaves(made.__getitem__, self._form)


def _are_same(one: Any, other: Any) -> bool:
    """Whether constants are tensors of the same numbers; anything else, such as a generator, is no constant."""
    are_tensors = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
    return are_tensors and one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)


class Form:
    """What is known of the steps on batches of one shape.

    ``next`` says how the next step is run: as ever, watched for strangers' code, recorded, or as the graph that was recorded twice.
    """

    def __init__(self) -> None:
        self.next: Literal["as ever", "watched", "recorded", "graph"] = "as ever"
        self.graph: Graph | None = None
        self._steps = 0
        self._took_s = 0.0

    def took(self, seconds: float) -> None:
        """A step was run as ever."""
        self._steps += 1
        self._took_s += seconds
        if self._steps == AFTER_STEPS and self._took_s < LONG_STEP_S * AFTER_STEPS:
            self.next = "watched"

    def watched(self, strangers: set[str]) -> None:
        """A step ran code of these packages that are not trusted."""
        self.next = "as ever" if strangers else "recorded"

    def recorded(self, graph: Graph | None) -> None:
        """A step was recorded; None if it could not be."""
        if graph is None or (self.graph is not None and not graph.equals(self.graph)):
            self.next, self.graph = "as ever", None
        else:
            self.next = "recorded" if self.graph is None else "graph"
            self.graph = graph


class GraphSteps:
    """The step of one phase of a model; call it with the tensors of a batch.

    Args:
        model: a compiled, built model.
        phase: of which the step is.
        step: the model's own step.
    """

    def __init__(self, model: Any, phase: Phase, step: Step) -> None:
        self._model = model
        self._phase = phase
        self._step = step
        self.origin = getattr(model, f"{phase}_step")
        """What was the model's own step when this was made."""
        self._settings: Settings | None = None
        self._rate: float | None = None
        self._may_change = True
        self._changes = -1
        self._forms: dict[Any, Form] = {}
        self._values: list[torch.Tensor] = []
        self._trained: list[torch.Tensor] = []

    def begin(self, *, may_change: bool) -> GraphSteps:
        """Begin a pass.

        Args:
            may_change: callbacks run between its steps, and may change the model's settings.
        """
        self._may_change = may_change
        if self._changes <= MOST_CHANGES:
            self._look_at_settings()
        self._look_up_variables()
        return self

    def _look_up_variables(self) -> None:
        """Find the tensors that a step changes; which of them are trained is a setting."""
        self._values = _values(self._model, self._phase)
        self._trained = [variable.value for variable in self._model.trainable_weights] if self._phase == "train" else []

    def _look_at_settings(self) -> None:
        """Throw away what was recorded under other settings."""
        rate = _constant_rate(self._model.optimizer) if self._phase == "train" else None
        if self._settings is not None and self._settings.hold() and rate == self._rate:
            return
        self._changes += 1
        self._forms.clear()
        self._look_up_variables()
        try:
            self._settings, self._rate = Settings(self._model), rate
        except Exception:  # containers of somebody's that change meanwhile, or are none
            self._changes = MOST_CHANGES + 1

    def __call__(self, batch: Any) -> Raw:
        """Run a step."""
        if self._may_change and any(form.next in ("recorded", "graph") for form in self._forms.values()):
            self._look_at_settings()
        named = leaves(batch)
        tensors = [tensor for _, tensor in named]
        forms = [(path, tensor.shape, tensor.stride(), tensor.dtype) for path, tensor in named]
        key = (*forms, *map(torch.is_autocast_enabled, ("cpu", "cuda")))
        form = self._forms.get(key)
        if form is None and len(self._forms) < MOST_FORMS:
            form = self._forms[key] = Form()
        if form is None or self._changes > MOST_CHANGES:
            return self._step(batch)
        if form.next == "graph" and form.graph is not None:
            return form.graph.run(self._values, self._trained, tensors)
        if form.next == "recorded":
            return self._record(form, batch, tensors)
        if form.next == "watched":
            raw, strangers = _watched(self._step, batch)
            form.watched(strangers)
            return raw
        began = perf_counter()
        raw = self._step(batch)
        form.took(perf_counter() - began)
        return raw

    def _record(self, form: Form, batch: Any, tensors: list[torch.Tensor]) -> Raw:
        """Run a step and record it; as ever where that cannot be."""
        if not _may_record(self._values, tensors):
            form.recorded(None)
            return self._step(batch)
        kept = [value.detach().clone() for value in self._values]
        random = torch.random.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        try:
            with _given_as_number(self._model.optimizer, self._rate):
                raw, graph = _recorded(self._step, batch, [*self._values, *tensors], self._trained)
        except Exception:
            form.recorded(None)
            _put_back(self._values, kept)
            torch.random.set_rng_state(random[0])
            torch.cuda.set_rng_state_all(random[1])
            return self._step(batch)
        form.recorded(graph)
        return raw


def _constant_rate(optimizer: Any) -> float | None:
    """The learning rate where Keras hands it to PyTorch as a number; None where it does not, or reading it would wait for a device."""
    rate = getattr(optimizer, "_learning_rate", None)
    if not isinstance(optimizer, keras.optimizers.SGD) or not isinstance(rate, keras.Variable) or rate.value.device.type != "cpu":
        return None
    return float(rate.value)


@contextmanager
def _given_as_number(optimizer: Any, rate: float | None) -> Iterator[None]:
    """Have the optimizer take this number for the learning rate: one that is read from a tensor cannot be recorded."""
    if rate is None:
        yield
        return
    update = optimizer._backend_update_step
    vars(optimizer)["_backend_update_step"] = lambda gradients, variables, _: update(gradients, variables, rate)
    try:
        yield
    finally:
        del vars(optimizer)["_backend_update_step"]


def _values(model: Any, phase: Phase) -> list[torch.Tensor]:
    """All that a step of a phase may change, and what it reads."""
    variables = [*model.variables]
    if phase == "train":
        variables += model.optimizer.variables
    if phase != "predict":
        variables += model.metrics_variables
    return [variable.value for variable in {id(variable): variable for variable in variables}.values()]


def _may_record(values: list[torch.Tensor], batch: list[torch.Tensor]) -> bool:
    """Whether tensors can be told from one another, and copies of the variables fit beside them."""
    tensors = [*values, *batch]
    are_plain = all(isinstance(tensor, torch.Tensor) for tensor in tensors) and len(set(map(id, tensors))) == len(tensors)
    return are_plain and sum(value.nbytes for value in values) <= MOST_COPIED_BYTES and not torch.is_anomaly_enabled()


def _put_back(values: list[torch.Tensor], kept: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for value, copy in zip(values, kept, strict=True):
            value.copy_(copy)


def _recorded(step: Step, batch: Any, tensors: list[torch.Tensor], trained: list[torch.Tensor]) -> tuple[Raw, Graph | None]:
    """The result of a step, and its graph; None where a result is no tensor, or a weight has no gradient.

    ``make_fx`` knows a tensor as the object that it is: so the step runs on the batch and on the model as they are.

    Raises:
        Exception: of the step, or because something in it depends on a number.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # here: a PyTorch without it runs steps as ever

    raw: Raw = None

    def run(*_: torch.Tensor) -> tuple[Any, ...]:
        nonlocal raw
        raw = step(batch)
        return (*[tensor for _, tensor in leaves(raw)], *[value.grad for value in trained])

    module = make_fx(run)(*tensors)
    made = [tensor for _, tensor in leaves(raw)]
    if not all(isinstance(tensor, torch.Tensor) for tensor in made) or any(value.grad is None for value in trained):
        return raw, None
    numbers = iter(range(len(made)))
    return raw, Graph(module, map_leaves(lambda _: next(numbers), raw))


def _watched(step: Step, batch: Any) -> tuple[Raw, set[str]]:
    """The result of a step, and the packages that are not trusted and whose Python it has run."""
    strangers: set[str] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.partition(".")[0] not in TRUSTED and not name.startswith("namedtuple_"):
            strangers.add(name)

    before, is_collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # it calls functions of anybody's
    sys.setprofile(look)
    try:
        raw = step(batch)
    finally:
        sys.setprofile(before)
        if is_collecting:
            gc.enable()
    return raw, strangers


def graph_steps(model: Any, phase: Phase, step: Step, *, may_change: bool) -> Step:
    """The step of a phase, which is recorded as soon as that pays; begins a pass, see ``GraphSteps.begin``."""
    if model.run_eagerly or (phase == "train" and not isinstance(model.optimizer, keras.optimizers.Optimizer)):
        return step
    kept = kept_by_phase(model)
    steps: GraphSteps | None = kept.get(phase)
    if steps is None or steps.origin != getattr(model, f"{phase}_step"):  # the first, or somebody has put another in its place
        steps = kept[phase] = GraphSteps(model, phase, step)
    return steps.begin(may_change=may_change)
