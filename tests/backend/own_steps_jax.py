"""A model with training and test steps of its own, in JAX's words: state in, logs and state out."""

from __future__ import annotations

import jax
import keras


class OwnStep(keras.Model):
    """Trains on the mean squared error, and tells a mean absolute error under a name of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.own_mae = keras.metrics.MeanAbsoluteError(name="own_mae")

    @property
    def metrics(self):
        return [self.loss_mean, self.own_mae]

    def _loss(self, trainable, non_trainable, x, y, training):
        predicted, non_trainable = self.stateless_call(trainable, non_trainable, x, training=training)
        return keras.ops.mean((y - predicted) ** 2), (predicted, non_trainable)

    def _told(self, variables, loss, y, predicted):
        split = len(self.loss_mean.variables)
        first = self.loss_mean.stateless_update_state(variables[:split], loss)
        second = self.own_mae.stateless_update_state(variables[split:], y, predicted)
        logs = {"loss": self.loss_mean.stateless_result(first), "own_mae": self.own_mae.stateless_result(second)}
        return logs, [*first, *second]

    def train_step(self, state, data):
        trainable, non_trainable, optimizer, metrics = state
        x, y = data
        gradient = jax.value_and_grad(self._loss, has_aux=True)
        (loss, (predicted, non_trainable)), gradients = gradient(trainable, non_trainable, x, y, True)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        logs, metrics = self._told(metrics, loss, y, predicted)
        return logs, (trainable, non_trainable, optimizer, metrics)

    def test_step(self, state, data):
        trainable, non_trainable, metrics = state
        x, y = data
        loss, (predicted, non_trainable) = self._loss(trainable, non_trainable, x, y, False)
        logs, metrics = self._told(metrics, loss, y, predicted)
        return logs, (trainable, non_trainable, metrics)
