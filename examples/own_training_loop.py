"""`stoker.Feed` alone: batches made ahead by workers, in order, each exactly once, for any training loop; here one in numpy."""

import numpy as np

import stoker


class Lines(stoker.Sequence):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        x = stoker.rng().normal(size=(64, 3))
        return x, x @ [1.0, -2.0, 0.5]


weights = np.zeros(3)
with stoker.Feed(Lines(), workers=2, shuffle=True, seed=7) as feed:
    for epoch in range(3):
        for x, y in feed.epoch():
            weights += 0.02 * x.T @ (y - x @ weights) / len(x)
        figures = feed.meter.take()
        waited = f"waited for data {figures.wait_share:.0%} of {figures.elapsed_s:.2f} s"
        print(f"epoch {epoch + 1}: {figures.batches} batches, {waited}, weights {weights.round(3)}")
