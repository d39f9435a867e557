"""Copies of batches to a CUDA device that run beside the step before.

The loop hands over a step and comes by with the next batch while the device still computes. Its copy goes to a stream of its own, or it
would wait behind the step; the next step waits for the copy by an event. Slots of worker processes are registered with the device once
and read from where they lie; other arrays go through pinned memory of torch's own.

Rules: an array is held until its copy has arrived, so that its slot is not used again before; nothing here waits, but for the oldest of
too many copies under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import torch

from stoker.backend.pages import RegisteredPages
from stoker.batch.tree import leaves, map_leaves

MOST_UNDER_WAY = 4
"""Batches whose copies have not arrived. Beyond that the host is ahead of the device by more than helps, and holds slots for nothing."""


class Event(Protocol):
    """The end of a copy."""

    def query(self) -> bool:
        """Whether it is reached."""

    def synchronize(self) -> None:
        """Wait for it."""


class Device(Protocol):
    """What copies ask of a device."""

    def copy(self, hosts: list[torch.Tensor]) -> tuple[list[torch.Tensor], Event]:
        """Begin to copy; what is handed to the device from now on waits for the copies, what it computes already does not."""

    def register(self, address: int, size_bytes: int) -> bool:
        """Have the device read a range of host memory by itself."""

    def unregister(self, address: int) -> None:
        """Give a range back."""

    def pinned(self, host: torch.Tensor) -> torch.Tensor:
        """The same in memory that the device reads by itself."""


class Copies:
    """The copies of one call.

    Args:
        device: to which they go.
        to_host: makes a tensor on the host of an array, on the same memory if possible.
    """

    def __init__(self, device: Device, to_host: Callable[[Any], torch.Tensor]) -> None:
        self._device = device
        self._to_host = to_host
        self._pages = RegisteredPages(device.register, device.unregister)
        self._under_way: deque[tuple[Event, list[torch.Tensor]]] = deque()

    def __call__(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arrays of a batch as tensors on the device."""
        arrays = [array for _, array in leaves(data)]
        hosts = [
            self._to_host(array) if known else self._device.pinned(self._to_host(array))
            for array, known in zip(arrays, self._pages.hold(arrays), strict=True)]
        self.let_go(MOST_UNDER_WAY - 1)
        tensors, arrived = self._device.copy(hosts)
        self._under_way.append((arrived, hosts))
        made = iter(tensors)
        return tuple(map_leaves(lambda _: next(made), part) for part in data)

    def let_go(self, most: int) -> None:
        """Let go of the arrays of copies that have arrived; wait where more than ``most`` have not."""
        while self._under_way and (len(self._under_way) > most or self._under_way[0][0].query()):
            arrived, _ = self._under_way[0]
            arrived.synchronize()
            self._under_way.popleft()


class CudaDevice:
    """A CUDA device, by the few calls that copies need.

    Args:
        device: torch's name of it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def copy(self, hosts: list[torch.Tensor]) -> tuple[list[torch.Tensor], Event]:
        """See ``Device``."""
        current = torch.cuda.current_stream(self._device)
        arrived = torch.cuda.Event()
        with torch.cuda.stream(self._stream):
            tensors = [host.to(self._device, non_blocking=True) for host in hosts]
            arrived.record(self._stream)
        current.wait_event(arrived)
        for tensor in tensors:
            tensor.record_stream(current)  # its memory was had on the other stream, and must not be used there while a step reads it
        return tensors, arrived

    def register(self, address: int, size_bytes: int) -> bool:
        """See ``Device``."""
        runtime = torch.cuda.cudart()
        if runtime.cudaHostRegister(address, size_bytes, 0) == runtime.cudaError.success:
            return True
        with suppress(RuntimeError):  # CUDA keeps the error for whoever asks next
            torch.zeros(1, device=self._device)
        return False

    def unregister(self, address: int) -> None:
        """See ``Device``."""
        torch.cuda.cudart().cudaHostUnregister(address)

    def pinned(self, host: torch.Tensor) -> torch.Tensor:
        """See ``Device``."""
        return host if host.is_cuda else host.pin_memory()
