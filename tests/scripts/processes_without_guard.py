import os
import time
import numpy as np
from keras.utils import Sequence
from keras.models import Sequential
from keras.layers import Dense

# no "if __name__ == '__main__'" here: nobody wrote one then
print('script starts')


def load(index):
    time.sleep(0.001)
    return np.full((4, 3), index, dtype='float32')


class Batches(Sequence):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        x = load(index)
        y = np.full((4, 1), os.getpid(), dtype='float64')
        return x, (y != PARENT).astype('float32')


PARENT = os.getpid()
model = Sequential([Dense(1, input_shape=(3,), kernel_initializer='ones', use_bias=False)])
model.compile('sgd', 'mse')
model.optimizer.lr = 0.0

history = model.fit_generator(Batches(12), epochs=2, workers=4, use_multiprocessing=True, max_queue_size=8, shuffle=False, verbose=0)
wanted = np.mean([(3. * i - 1) ** 2 for i in range(12)])
print('loss as computed in other processes', bool(np.allclose(history.history['loss'], wanted)))

predicted = model.predict_generator(Batches(12), workers=4, use_multiprocessing=True)
print('in order', predicted[:, 0].astype(int).tolist() == [3 * i for i in range(12) for _ in range(4)])
print('script ends')
