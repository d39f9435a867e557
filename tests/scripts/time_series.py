import numpy as np
import keras
from keras.utils import Sequence
from keras.models import Sequential, load_model
from keras.layers.recurrent import GRU
from keras.layers.core import Dense
from keras.callbacks import Callback, CSVLogger, LearningRateScheduler
import keras.backend as K
from keras.optimizers import SGD


class WindowSequence(Sequence):
    def __init__(self, series, length, batch_size=16, shuffle=True):
        self.series = series
        self.length = length
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.ended = 0
        self.indexes = np.arange(len(series) - length)

    def __len__(self):
        return int(np.floor(len(self.indexes) / float(self.batch_size)))

    def __getitem__(self, index):
        chosen = self.indexes[index * self.batch_size:(index + 1) * self.batch_size]
        x = np.array([self.series[i:i + self.length] for i in chosen])[:, :, np.newaxis]
        y = np.array([self.series[i + self.length] for i in chosen])
        return x, y

    def on_epoch_end(self):
        self.ended += 1
        if self.shuffle:
            np.random.shuffle(self.indexes)


class RateLogger(Callback):
    def on_train_begin(self, logs={}):
        self.rates = []
        self.losses = []

    def on_batch_end(self, batch, logs={}):
        self.losses.append(logs.get('loss'))

    def on_epoch_end(self, epoch, logs={}):
        lr = float(K.get_value(self.model.optimizer.lr))
        self.rates.append(lr)
        K.set_value(self.model.optimizer.lr, lr * 0.5)


def rmse(y_true, y_pred):
    return K.sqrt(K.mean(K.square(y_pred - y_true), axis=-1))


import random
random.seed(0)
np.random.seed(0)
series = np.sin(np.arange(300) * 0.2) + 0.05 * np.random.randn(300)
train, valid = WindowSequence(series[:200], 10), WindowSequence(series[200:], 10, shuffle=False)

model = Sequential()
model.add(GRU(8, input_shape=(10, 1)))
model.add(Dense(1))
model.compile(loss='mean_squared_error', optimizer=SGD(lr=0.05, momentum=0.5, nesterov=True), metrics=[rmse])

rates = RateLogger()
history = model.fit_generator(generator=train, epochs=4, validation_data=valid, callbacks=[rates, CSVLogger('log.csv')],
                              workers=2, max_queue_size=4, verbose=0)
print('passes', train.ended, valid.ended)
print('rates', ' '.join('%.3f' % r for r in rates.rates))
print('batches', len(rates.losses), 'steps', len(train))
print('better', np.mean(rates.losses[-5:]) < rates.losses[0], 'val_rmse' in history.history)
model.save('model.h5')
restored = load_model('model.h5', custom_objects={'rmse': rmse})
a = model.evaluate_generator(valid, steps=len(valid))
b = restored.evaluate_generator(valid, steps=len(valid))
print('restored', bool(np.allclose(a, b, rtol=1e-4)), dict(zip(model.metrics_names, a)).keys() == {'loss', 'rmse'})
