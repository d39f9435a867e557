"""Two named inputs, two named outputs; classes and samples have weights."""
import numpy as np
import tensorflow as tf
from tensorflow.keras import backend as K
from tensorflow.keras.layers import Input, Dense, Embedding, Flatten, concatenate
from tensorflow.keras.models import Model
from tensorflow.keras.utils import to_categorical, multi_gpu_model
from tensorflow.keras.callbacks import TerminateOnNaN

config = tf.ConfigProto()
config.gpu_options.allow_growth = True
K.set_session(tf.Session(config=config))
tf.set_random_seed(11)
np.random.seed(11)


def generator(batch_size, rng=np.random.RandomState(4)):
    while True:
        numbers = rng.randn(batch_size, 4)
        words = rng.randint(0, 10, (batch_size, 3))
        kind = (words[:, 0] > 7).astype(int)
        amount = numbers.sum(axis=1)
        weights = {'kind': np.ones(batch_size), 'amount': np.where(amount > 0, 1., 0.5)}
        yield ({'numbers': numbers, 'words': words},
               {'kind': to_categorical(kind, num_classes=2), 'amount': amount}, weights)


numbers = Input(shape=(4,), name='numbers')
words = Input(shape=(3,), dtype='int32', name='words')
x = concatenate([numbers, Flatten()(Embedding(10, 4, input_length=3)(words))])
x = Dense(24, activation='relu')(x)
kind = Dense(2, activation='softmax', name='kind')(x)
amount = Dense(1, name='amount')(x)
model = Model(inputs=[numbers, words], outputs=[kind, amount])
parallel_model = multi_gpu_model(model, gpus=2)
parallel_model.compile(optimizer=tf.keras.optimizers.Adam(lr=0.01),
                       loss={'kind': 'categorical_crossentropy', 'amount': 'mse'},
                       loss_weights={'kind': 1., 'amount': 0.5},
                       metrics={'kind': 'accuracy', 'amount': 'mae'})

history = parallel_model.fit_generator(generator(32), steps_per_epoch=15, epochs=5, verbose=0,
                                       class_weight={'kind': {0: 1., 1: 3.}}, callbacks=[TerminateOnNaN()],
                                       validation_data=generator(32), validation_steps=3)
keys = sorted(history.history)
print('keys', keys)
print('fell', history.history['amount_loss'][-1] < history.history['amount_loss'][0])
(features, targets, _) = next(generator(50))
predicted = model.predict(features)
print('shapes', [p.shape for p in predicted])
scores = parallel_model.evaluate_generator(generator(20), steps=2)
print('scores', len(scores), parallel_model.metrics_names[0])
