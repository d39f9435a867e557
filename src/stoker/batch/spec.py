"""What a model takes, and how the arrays of a batch are brought into that form.

Rules: pure; made by a model's backend, and anew once the model is built; a model that does not say what it takes (subclassed, with a
training step of its own) has no ports and takes what comes; a part is matched by name where it is a dict, else by place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stoker.errors import BatchError

Form = Literal["single", "list", "dict"]
WEIGHTS = "sample_weights"
"""The path of the one part of which any array may be missing."""
ADDED_TO_NUMPY = 2
"""What ``dtype.isbuiltin`` says of a dtype that a package has added."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a model.

    Args:
        name: its name.
        key: its key where the model takes or gives a dict.
        shape: shape with the batch axis; None where any size will do; None in all for any shape.
        dtype: the dtype that the model takes, as a name.
        labels: targets are class numbers of a sparse loss, and are left as they are.
        strict: targets have the shape of the output.
        needed: the model cannot do without it.
    """

    name: str
    key: str
    shape: tuple[int | None, ...] | None = None
    dtype: str = "float32"
    labels: bool = False
    strict: bool = False
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Ports:
    """All inputs, or all outputs, in the model's order and form."""

    form: Form
    ports: tuple[Port, ...]

    @property
    def names(self) -> list[str]:
        """Names in the model's order."""
        return [port.name for port in self.ports]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model takes; None for what is not known beforehand.

    Args:
        inputs: its inputs.
        outputs: its outputs.
        floatx: Keras's own float.
        has_loss: the model's own loss reads the targets.
        any_output: what holds for the targets of every output, where outputs are not known; None: nothing.
        takes_text: the framework has arrays of text.
        is_final: more will not be known once the model is built.
    """

    inputs: Ports | None = None
    outputs: Ports | None = None
    floatx: str = "float32"
    has_loss: bool = False
    any_output: Port | None = None
    takes_text: bool = True
    is_final: bool = True


@dataclass(frozen=True, slots=True)
class Leaf:
    """An array of the batch as the model gets it: which one, and the dtype it is cast to (None: as it is)."""

    number: int
    cast: str | None = None


def arrange(part: Any, ports: Ports | None, path: str, where: str) -> list[tuple[Port | None, str, Any]] | None:
    """Match a part of a batch with the model's ports.

    Args:
        part: an array, or a list, tuple or dict of arrays.
        ports: the model's inputs or outputs; None takes what comes.
        path: ``inputs``, ``targets`` or ``sample_weights``.
        where: the place for messages.

    Returns:
        Port, path and array for each port, in order; None where nothing is known of the model.

    Raises:
        BatchError: names or the number of arrays do not match; both are listed.
    """
    if ports is None or part is None:
        return None
    if isinstance(part, dict):
        return _by_name(part, ports, path, where)
    listed: list[Any] = list(part) if isinstance(part, tuple | list) else [part]
    if len(listed) != len(ports.ports):
        needed = [port for port in ports.ports if port.needed]
        if len(listed) != len(needed):
            raise BatchError(
                "wrong number of arrays", got=f"{len(listed)} array{'s' * (len(listed) != 1)}",
                expected=f"{len(ports.ports)} ({', '.join(ports.names)})", where=f"{path}, {where}",
                remedy="Yield one array for each, or a dict keyed by name.")
        given = iter(listed)
        listed = [next(given) if port.needed else None for port in ports.ports]
    paths = [f"{path}[{number}]" for number in range(len(listed))] if isinstance(part, tuple | list) else [path]
    for port, place, value in zip(ports.ports, paths, listed, strict=True):
        if value is None and port.needed and path != WEIGHTS:
            raise BatchError("an array is missing", got="None", expected=f"an array for {port.name!r}", where=f"{place}, {where}",
                             remedy="Yield an array for it.")
    return list(zip(ports.ports, paths, listed, strict=True))


def _by_name(part: dict[Any, Any], ports: Ports, path: str, where: str) -> list[tuple[Port | None, str, Any]]:
    known = {name for port in ports.ports for name in (port.name, port.key)}
    strange = [key for key in part if key not in known]
    missing = [] if path == WEIGHTS else [
        port.name for port in ports.ports if port.needed and part.get(port.name) is None and part.get(port.key) is None]
    if strange or missing:
        raise BatchError(
            "names do not match the model", got=_given(part) or "an empty dict",
            expected=", ".join(map(repr, ports.names)), where=f"{path}, {where}",
            remedy=f"Rename {', '.join(map(repr, strange))}." if strange else f"Add {', '.join(map(repr, missing))}.")
    found = [(port, port.name if port.name in part else port.key) for port in ports.ports]
    return [(port, f"{path}[{key!r}]", part.get(key)) for port, key in found]


def _given(part: dict[Any, Any]) -> str:
    return ", ".join(f"{key!r}: None" if value is None else repr(key) for key, value in part.items())


def check_input(port: Port, path: str, array: Any, where: str) -> None:
    """Refuse an input of a shape or dtype that the model cannot take.

    A last axis of length 1 may be missing or too much: Keras adds it or takes it away.
    """
    if _kind(array.dtype) not in _kinds(port.dtype):
        raise BatchError("a dtype that the model cannot take", got=str(array.dtype), expected=port.dtype,
                         where=f"{path}, {where}", remedy=f"Convert it to {port.dtype}.")
    if port.shape is not None and not fits(array.shape, port.shape):
        raise BatchError("a shape that the model cannot take", got=str(array.shape), expected=show(port.shape),
                         where=f"{path}, {where}", remedy="Reshape it, or change the model's Input.")


def check_unknown_input(spec: ModelSpec, path: str, array: Any, where: str) -> None:
    """Refuse an input that no model on this framework can take."""
    if _kind(array.dtype) not in "biufc" and not spec.takes_text:
        raise BatchError("a dtype that the model cannot take", got=str(array.dtype), expected="numbers",
                         where=f"{path}, {where}", remedy="Encode it as numbers.")


def check_target(port: Port, path: str, array: Any, where: str) -> None:
    """Refuse targets that the output's loss would broadcast or cannot read."""
    if _kind(array.dtype) not in "biuf" and port.dtype != "string":
        raise BatchError("a dtype that the loss cannot take", got=str(array.dtype), expected=port.dtype,
                         where=f"{path}, {where}", remedy="Encode targets as numbers.")
    if port.shape is None or not (port.strict or port.labels):
        return
    wanted = port.shape[:-1] if port.labels else port.shape
    if not fits(array.shape, wanted):
        hint = " or ".join(show(shape) for shape in ((wanted, (*wanted, 1)) if port.labels else (wanted,)))
        raise BatchError("a shape that the loss cannot take", got=str(array.shape), expected=hint, where=f"{path}, {where}",
                         remedy="Reshape the targets, or choose a loss that fits them.")


def weight_shape(port: Port, path: str, array: Any, where: str) -> tuple[int, ...] | None:
    """The shape in which sample weights meet the losses of an output; None where they have it, or it is not known.

    A loss has the shape of the output without the last axis. Weights may lack its later axes, as in Keras 2, or have one more of length 1.

    Raises:
        BatchError: they fit no such loss.
    """
    if port.shape is None or len(port.shape) < 2 or not (port.strict or port.labels):
        return None
    losses, shape = port.shape[:-1], array.shape
    if len(shape) == len(losses) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > len(losses) or any(got not in (1, want) for got, want in zip(shape[1:], losses[1:], strict=False) if want is not None):
        expected = "(batch,)" if len(losses) == 1 else f"(batch,) or {show(losses)}"
        raise BatchError("a shape that losses cannot be weighted with", got=str(array.shape), expected=expected,
                         where=f"{path}, {where}", remedy="Yield one weight for each row.")
    return shape + (1,) * (len(losses) - len(shape)) if len(shape) < len(losses) - 1 else None


def fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Whether a shape fits, but for the batch axis and for a last axis of length 1."""
    rank = len(wanted)
    if len(shape) == rank + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == rank - 1 and wanted[-1] in (1, None):
        wanted = wanted[:-1]
    if len(shape) != len(wanted):
        return False
    return all(want is None or got == want for got, want in zip(shape[1:], wanted[1:], strict=True))


def show(shape: tuple[int | None, ...]) -> str:
    """A shape for a message, with ``batch`` for its first axis."""
    rest = "".join(f", {'any' if size is None else size}" for size in shape[1:])
    return f"(batch{rest})" if rest else "(batch,)"


def input_cast(dtype: np.dtype[Any], floatx: str) -> str | None:
    """float64 is brought to floatx, as Keras does with arrays, so is bfloat16, which frameworks take from numpy in ways of their own, and
    foreign byte order to this machine's; all else travels as it is.
    """
    if dtype.kind == "V":
        return floatx
    native = dtype.newbyteorder("=")
    if native == np.float64 and floatx != "float64":
        return floatx
    return None if dtype.isnative else native.name


def target_cast(port: Port | None, dtype: np.dtype[Any], has_loss: bool, floatx: str) -> str | None:
    """bool and small unsigned targets reach losses as floatx, unless they are class numbers."""
    small = dtype.kind == "b" or (dtype.kind == "u" and dtype.itemsize <= 2)
    if small and has_loss and port is not None and not port.labels:
        return floatx
    return input_cast(dtype, floatx)


def _kind(dtype: np.dtype[Any]) -> str:
    """numpy's letter for the kind; that of floats for bfloat16 and its like, which other packages add to numpy."""
    return "f" if dtype.kind == "V" and dtype.isbuiltin == ADDED_TO_NUMPY else dtype.kind


def _kinds(dtype: str) -> str:
    if dtype == "string":
        return "USO"
    return "biufc" if dtype.startswith("complex") else "biuf"
