'''Siamese net on pairs of points, with a contrastive loss.'''
from __future__ import absolute_import
from __future__ import print_function
import numpy as np
import random
from keras.models import Model
from keras.layers import Input, Flatten, Dense, Dropout, Lambda
from keras.optimizers import RMSprop
from keras import backend as K


def euclidean_distance(vects):
    x, y = vects
    sum_square = K.sum(K.square(x - y), axis=1, keepdims=True)
    return K.sqrt(K.maximum(sum_square, K.epsilon()))


def eucl_dist_output_shape(shapes):
    shape1, shape2 = shapes
    return (shape1[0], 1)


def contrastive_loss(y_true, y_pred):
    margin = 1
    square_pred = K.square(y_pred)
    margin_square = K.square(K.maximum(margin - y_pred, 0))
    return K.mean(y_true * square_pred + (1 - y_true) * margin_square)


def accuracy(y_true, y_pred):
    return K.mean(K.equal(y_true, K.cast(y_pred < 0.5, y_true.dtype)))


def compute_accuracy(y_true, y_pred):
    pred = y_pred.ravel() < 0.5
    return np.mean(pred == y_true)


def create_base_network(input_shape):
    input = Input(shape=input_shape)
    x = Flatten()(input)
    x = Dense(24, activation='relu')(x)
    x = Dropout(0.05)(x)
    x = Dense(8)(x)
    return Model(input, x)


def pairs(batch_size, seed):
    rng = np.random.RandomState(seed)
    centers = np.random.RandomState(5).randn(4, 3, 2) * 2
    while True:
        same = rng.randint(0, 2, batch_size)
        first = rng.randint(0, 4, batch_size)
        second = np.where(same, first, (first + 1 + rng.randint(0, 3, batch_size)) % 4)
        noise = rng.randn(2, batch_size, 3, 2) * 0.2
        yield [centers[first] + noise[0], centers[second] + noise[1]], same.astype('float32').reshape(-1, 1)


random.seed(1)
np.random.seed(1)
input_shape = (3, 2)
base_network = create_base_network(input_shape)
input_a = Input(shape=input_shape)
input_b = Input(shape=input_shape)
processed_a = base_network(input_a)
processed_b = base_network(input_b)
distance = Lambda(euclidean_distance, output_shape=eucl_dist_output_shape)([processed_a, processed_b])
model = Model([input_a, input_b], distance)

rms = RMSprop(lr=0.01)
model.compile(loss=contrastive_loss, optimizer=rms, metrics=[accuracy])
history = model.fit_generator(pairs(32, 1), steps_per_epoch=20, epochs=6, verbose=0,
                              validation_data=pairs(32, 2), validation_steps=4)

(x, y) = next(pairs(200, 3))
acc = compute_accuracy(y.ravel(), model.predict(x))
print('* Accuracy on test set: %0.2f%%' % (100 * acc))
print('logged', sorted(history.history))
model.save_weights('siamese_weights')
before = model.predict(x)
model.set_weights([w * 0 for w in model.get_weights()])
model.load_weights('siamese_weights')
print('weights back', bool(np.allclose(before, model.predict(x))))
