"""The workloads of ``bench_feed.py``: each a class with ``__len__`` and ``__getitem__``, the same for every loader."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np

LENGTH = 10**6


class Workload:
    """Batches by index; ``make`` is how arrays are made (``numpy.empty`` or ``stoker.empty``)."""

    def __init__(self, empty=np.empty):
        self.empty = empty

    def __len__(self):
        return LENGTH

    def filled(self, shape, dtype, value):
        array = self.empty(shape, dtype)
        array.fill(value)
        return array


class Tiny(Workload):
    """32 x 16 float32 and 32 x 1 float32: 2 KB."""

    def __getitem__(self, index):
        return self.filled((32, 16), np.float32, index % 7), self.filled((32, 1), np.float32, 1)


class Image(Workload):
    """64 x 224 x 224 x 3 float32: 38.5 MB."""

    def __getitem__(self, index):
        return self.filled((64, 224, 224, 3), np.float32, index % 7), self.filled((64,), np.int64, 1)


class Image8(Workload):
    """64 x 224 x 224 x 3 uint8: 9.6 MB."""

    def __getitem__(self, index):
        return self.filled((64, 224, 224, 3), np.uint8, index % 7), self.filled((64,), np.int64, 1)


class Dictionary(Workload):
    """A dict of 20 inputs and one of 3 targets, each 64 x 16 float32."""

    def __getitem__(self, index):
        inputs = {f"input_{number}": self.filled((64, 16), np.float32, index % 7) for number in range(20)}
        return inputs, {f"output_{number}": self.filled((64, 1), np.float32, 1) for number in range(3)}


class Csv(Workload):
    """64 lines of 40 numbers, parsed in pure Python."""

    COLUMNS = 40

    def __init__(self, empty=np.empty):
        super().__init__(empty)
        luck = np.random.default_rng(0)
        self.lines = [",".join(f"{value:.5f}" for value in luck.random(self.COLUMNS)) for _ in range(512)]

    def __getitem__(self, index):
        rows = self.empty((64, self.COLUMNS), np.float32)
        for row in range(64):
            line = self.lines[(index * 64 + row) % len(self.lines)]
            rows[row] = [float(field) for field in line.split(",")]
        return rows[:, 1:], rows[:, 0]


class Jpeg(Workload):
    """64 JPEG files of 256 x 256, decoded, resized to 160 x 160, half of them flipped."""

    FILES = 64

    def __init__(self, empty=np.empty):
        super().__init__(empty)
        self.folder = Path(tempfile.gettempdir()) / f"stoker-bench-jpeg-{os.getuid()}"
        self._write()

    def _write(self):
        from PIL import Image as Picture

        self.folder.mkdir(exist_ok=True)
        luck = np.random.default_rng(0)
        for number in range(self.FILES):
            path = self.folder / f"{number}.jpg"
            if not path.exists():
                coarse = luck.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Picture.fromarray(coarse).resize((256, 256)).save(path, quality=90)

    def __getitem__(self, index):
        from PIL import Image as Picture

        images = self.empty((self.FILES, 160, 160, 3), np.uint8)
        for number in range(self.FILES):
            data = (self.folder / f"{number}.jpg").read_bytes()
            picture = np.asarray(Picture.open(io.BytesIO(data)).convert("RGB").resize((160, 160)))
            images[number] = picture[:, ::-1] if (index + number) % 2 else picture
        return images, np.arange(self.FILES)


WORKLOADS = {"tiny": Tiny, "image": Image, "uint8": Image8, "dict": Dictionary, "csv": Csv, "jpeg": Jpeg}
