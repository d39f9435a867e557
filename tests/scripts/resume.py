'''Word counts to a label: trains with checkpoints, then goes on from the last one in a second run, as long trainings of 2018 did.'''
from __future__ import print_function

import glob
import os
import sys

import numpy as np
from keras import backend as K
from keras.callbacks import Callback, LambdaCallback, ModelCheckpoint
from keras.layers import LSTM, Dense, Embedding, Input, Lambda, concatenate
from keras.models import Model, load_model
from keras.optimizers import Adam

VOCABULARY, LENGTH = 12, 5
epochs = int(sys.argv[1])
rng = np.random.RandomState(7)
words = rng.randint(1, VOCABULARY, (160, LENGTH))
words[:, 3:] *= rng.randint(0, 2, (160, 1))
labels = (words == 3).any(axis=1).astype('float32')


def batches(batch_size=16):
    while True:
        for start in range(0, 128, batch_size):
            part = slice(start, start + batch_size)
            yield {'words': words[part], 'source': ['a line'] * batch_size}, {'label': labels[part]}


def build():
    inputs = Input(shape=(LENGTH,), name='words')
    x = Embedding(VOCABULARY, 8, mask_zero=True)(inputs)
    x = LSTM(8, recurrent_activation='hard_sigmoid')(x)
    x = concatenate([x, Lambda(lambda t: K.square(t), output_shape=(8,))(x)])
    model = Model(inputs=inputs, outputs=Dense(1, activation='sigmoid', name='label')(x))
    model.compile(Adam(lr=0.02, decay=0.01), loss='binary_crossentropy', metrics=['acc'])
    return model


class Rates(Callback):
    def on_train_begin(self, logs={}):
        self.lr = []
        print('validation on', self.validation_data[0].shape, 'epochs', self.params['epochs'])

    def on_epoch_end(self, epoch, logs={}):
        done = K.get_value(self.model.optimizer.iterations)
        self.lr.append(K.get_value(self.model.optimizer.lr) / (1. + self.model.optimizer.decay * done))


checkpoints = sorted(glob.glob('run.*.h5'))
first = 0
if checkpoints:
    first = int(os.path.basename(checkpoints[-1]).split('.')[1].split('-')[0])
    model = load_model(checkpoints[-1])
    print('resumed after epoch %d' % first)
else:
    model = build()
rates = Rates()
seen = []
history = model.fit_generator(
    batches(), steps_per_epoch=8, epochs=epochs, initial_epoch=first, verbose=0, validation_data=(words[128:], labels[128:]),
    callbacks=[ModelCheckpoint('run.{epoch:02d}-{val_acc:.2f}.h5'), rates,
               LambdaCallback(on_batch_end=lambda batch, logs: seen.append(logs['acc']))])
print('epochs', history.epoch, 'batches', len(seen))
print('rate %.5f' % rates.lr[-1])
scores = model.evaluate(words[128:], labels[128:], verbose=0)
print(' '.join('%s %.3f' % pair for pair in zip(model.metrics_names, scores)))
