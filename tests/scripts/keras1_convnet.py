# Convnet, Keras 1 API
import argparse
import random
import numpy as np
random.seed(1337)
np.random.seed(1337)

from keras.models import Sequential, Model
from keras.layers.core import Dense, Dropout, Activation, Flatten
from keras.layers import Input, merge
from keras.layers.convolutional import Convolution2D, MaxPooling2D, ZeroPadding2D
from keras.layers.normalization import BatchNormalization
from keras.regularizers import l2
from keras.utils import np_utils
from keras.optimizers import SGD, Adadelta
from keras import backend as K

K.set_image_dim_ordering('tf')

parser = argparse.ArgumentParser()
parser.add_argument('--nb_epoch', type=int, default=2)
parser.add_argument('--out', default='model.h5')
args = parser.parse_args()

nb_classes = 3
img_rows, img_cols = 12, 12
nb_filters = 8
pool_size = (2, 2)

X = np.random.rand(90, img_rows, img_cols, 1).astype('float32') * 0.3
labels = np.arange(90) % nb_classes
for i, label in enumerate(labels):
    X[i, label * 4:label * 4 + 4] += 0.7
Y = np_utils.to_categorical(labels, nb_classes)
X_train, Y_train, X_test, Y_test = X[:60], Y[:60], X[60:], Y[60:]


class Source(object):
    def __init__(self, x, y, batch_size):
        self.x, self.y, self.batch_size, self.at = x, y, batch_size, 0

    def __iter__(self):
        return self

    def __next__(self):
        batch = slice(self.at, self.at + self.batch_size)
        self.at = (self.at + self.batch_size) % len(self.x)
        return self.x[batch], self.y[batch]

    next = __next__


image = Input(shape=(img_rows, img_cols, 1))
left = Convolution2D(nb_filters, 3, 3, border_mode='same', init='he_normal', W_regularizer=l2(1e-4), activation='relu')(image)
right = Convolution2D(nb_filters, 5, 5, border_mode='same', subsample=(1, 1), dim_ordering='tf', bias=False)(image)
right = BatchNormalization(mode=0, axis=3)(right)
both = merge([left, right], mode='concat', concat_axis=3)
both = MaxPooling2D(pool_size=pool_size, border_mode='valid')(both)
both = Dropout(p=0.1)(both)
flat = Flatten()(both)
out = Dense(output_dim=nb_classes, init='glorot_uniform', activation='softmax')(flat)
model = Model(input=image, output=out)
print('kernels', [w.shape for w in model.get_weights() if len(w.shape) == 4])

model.compile(loss='categorical_crossentropy', optimizer=SGD(lr=0.02, decay=1e-3, momentum=0.9, nesterov=True), metrics=['accuracy'])
history = model.fit_generator(Source(X_train, Y_train, 15), samples_per_epoch=60, nb_epoch=args.nb_epoch, verbose=0,
                              validation_data=Source(X_test, Y_test, 15), nb_val_samples=30, nb_worker=1, max_q_size=3)
print('steps', history.params['steps'], 'epochs', history.epoch)

score = model.evaluate(X_test, Y_test, verbose=0)
print('Test accuracy: %.2f' % score[1])

small = Sequential()
small.add(Convolution2D(4, 2, 2, input_shape=(img_rows, img_cols, 1)))
small.add(Activation('relu'))
small.add(Flatten())
small.add(Dense(nb_classes))
small.add(Activation('softmax'))
small.compile(loss='categorical_crossentropy', optimizer='adadelta', metrics=['accuracy'])
h = small.fit(X_train, Y_train, batch_size=20, nb_epoch=args.nb_epoch, verbose=0, validation_data=(X_test, Y_test))
print('sequential', sorted(h.history)[:2], small.predict_classes(X_test).shape)
model.save_weights(args.out, overwrite=True)
