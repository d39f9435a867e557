'''Learns to go on with a text, and shows after each epoch what it would write.'''
from __future__ import print_function
from keras.callbacks import LambdaCallback
from keras.models import Sequential
from keras.layers import Dense, Activation
from keras.layers import LSTM
from keras.optimizers import RMSprop
import numpy as np
import random
import sys
import io

text = ('the quick brown fox jumps over the lazy dog. ' * 12).lower()
print('corpus length:', len(text))

chars = sorted(list(set(text)))
print('total chars:', len(chars))
char_indices = dict((c, i) for i, c in enumerate(chars))
indices_char = dict((i, c) for i, c in enumerate(chars))

maxlen = 12
step = 1
batch_size = 32


def batches():
    starts = list(range(0, len(text) - maxlen, step))
    while 1:
        random.shuffle(starts)
        for k in range(0, len(starts) - batch_size, batch_size):
            x = np.zeros((batch_size, maxlen, len(chars)), dtype=np.bool)
            y = np.zeros((batch_size, len(chars)), dtype=np.bool)
            for i, s in enumerate(starts[k:k + batch_size]):
                for t, char in enumerate(text[s:s + maxlen]):
                    x[i, t, char_indices[char]] = 1
                y[i, char_indices[text[s + maxlen]]] = 1
            yield x, y


model = Sequential()
model.add(LSTM(32, input_shape=(maxlen, len(chars))))
model.add(Dense(len(chars)))
model.add(Activation('softmax'))

optimizer = RMSprop(lr=0.02)
model.compile(loss='categorical_crossentropy', optimizer=optimizer, metrics=['acc'])


def sample(preds, temperature=1.0):
    preds = np.asarray(preds).astype('float64')
    preds = np.log(preds + 1e-12) / temperature
    exp_preds = np.exp(preds)
    preds = exp_preds / np.sum(exp_preds)
    probas = np.random.multinomial(1, preds, 1)
    return np.argmax(probas)


def on_epoch_end(epoch, logs):
    print()
    print('----- Generating text after Epoch: %d' % epoch)
    start_index = random.randint(0, len(text) - maxlen - 1)
    generated = ''
    sentence = text[start_index: start_index + maxlen]
    for i in range(10):
        x_pred = np.zeros((1, maxlen, len(chars)))
        for t, char in enumerate(sentence):
            x_pred[0, t, char_indices[char]] = 1.
        preds = model.predict(x_pred, verbose=0)[0]
        next_char = indices_char[sample(preds, 0.2)]
        generated += next_char
        sentence = sentence[1:] + next_char
    sys.stdout.write('"' + generated + '"\n')
    sys.stdout.flush()
    with io.open('generated.txt', 'a') as f:
        f.write(generated + u'\n')


random.seed(3)
np.random.seed(3)
print_callback = LambdaCallback(on_epoch_end=on_epoch_end)
history = model.fit_generator(batches(), steps_per_epoch=16, epochs=8, callbacks=[print_callback], verbose=0)
print('loss went down', history.history['loss'][-1] < 0.5 * history.history['loss'][0])
print('acc', len(history.history['acc']))
