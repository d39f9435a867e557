"""A model with training and test steps of its own, in PyTorch's words."""

from __future__ import annotations

import keras
import torch


class OwnStep(keras.Model):
    """Trains on the mean squared error, and tells a mean absolute error under a name of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.own_mae = keras.metrics.MeanAbsoluteError(name="own_mae")

    @property
    def metrics(self):
        return [self.loss_mean, self.own_mae]

    def _told(self, loss, y, predicted):
        self.loss_mean.update_state(loss)
        self.own_mae.update_state(y, predicted)
        return {metric.name: metric.result() for metric in self.metrics}

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        predicted = self(x, training=True)
        loss = keras.ops.mean((y - predicted) ** 2)
        loss.backward()
        weights = list(self.trainable_weights)
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return self._told(loss, y, predicted)

    def test_step(self, data):
        x, y = data
        predicted = self(x, training=False)
        return self._told(keras.ops.mean((y - predicted) ** 2), y, predicted)
