"""The demo's data: handwritten digits, moved, turned and made noisy each time they are shown.

Rules: numpy only; all randomness is ``stoker.rng()``, so that any number of workers makes the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from stoker.errors import BackendError
from stoker.rng import rng
from stoker.source.indexed import Sequence

SIDE = 8
"""Pixels along each side of an image."""
TURN_RAD = math.radians(10)
SHIFT_PX = 0.6
NOISE = 0.05


def load_images() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The digits that ship with scikit-learn, as ``(x, y)`` for training and for validation.

    Returns:
        Images of shape ``(images, 8, 8, 1)`` from 0 to 1, and labels of shape ``(images,)``; every fifth image is for validation.

    Raises:
        BackendError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise BackendError(
            "the demo needs scikit-learn, whose digits it trains on", got="no scikit-learn",
            remedy='Run: pip install "stoker[demo]"') from error
    digits: Any = load_digits()
    images, labels = (digits.images[..., None] / 16).astype("float32"), digits.target.astype("int32")
    held_out = np.arange(len(labels)) % 5 == 0
    return (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out])


class AugmentedDigits(Sequence):
    """Batches of digits, each image changed anew each time.

    Args:
        images: shape ``(images, 8, 8, 1)``.
        labels: shape ``(images,)``.
        batch_size: images in a batch.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int) -> None:
        self.images, self.labels, self.batch_size = images, labels, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return augment(self.images[rows], rng()), self.labels[rows]


def generate(images: np.ndarray, labels: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same as a plain generator: batches of images drawn at random, without end."""
    while True:
        chosen = rng().integers(0, len(images), size=batch_size)
        yield augment(images[chosen], rng()), labels[chosen]


def augment(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turn and move every image by its own random amount, and add noise.

    Args:
        images: shape ``(batch, 8, 8, 1)``.
        random: where the amounts come from.

    Returns:
        New images of the same shape; each pixel is interpolated between the four nearest of the original.
    """
    count = len(images)
    turn = random.uniform(-TURN_RAD, TURN_RAD, (count, 1, 1))
    down, right = random.uniform(-SHIFT_PX, SHIFT_PX, (2, count, 1, 1))
    row, column = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    from_row = np.cos(turn) * row - np.sin(turn) * column + (SIDE - 1) / 2 + down
    from_column = np.sin(turn) * row + np.cos(turn) * column + (SIDE - 1) / 2 + right
    moved = _interpolate(images[..., 0], from_row, from_column)
    noisy = moved + random.normal(0, NOISE, moved.shape)
    return noisy[..., None].astype("float32")


def _interpolate(images: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Bilinear samples of images at places of shape ``(batch, 8, 8)``; outside an image there is 0."""
    margin = 3
    framed = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))
    row, column = (np.clip(place + margin, 0, framed.shape[1] - 1.001) for place in (row, column))
    top, left = row.astype(int), column.astype(int)
    below, beside = row - top, column - left
    which = np.arange(len(images))[:, None, None]
    return np.asarray(
        framed[which, top, left] * (1 - below) * (1 - beside) + framed[which, top, left + 1] * (1 - below) * beside
        + framed[which, top + 1, left] * below * (1 - beside) + framed[which, top + 1, left + 1] * below * beside)
