'''Small image classifier, pictures are read from folders (train/red, train/blue, ...).'''
from __future__ import print_function
import os
import numpy as np
from PIL import Image

from keras.preprocessing.image import ImageDataGenerator
from keras.models import Sequential
from keras.layers import Conv2D, MaxPooling2D
from keras.layers import Activation, Dropout, Flatten, Dense
from keras.callbacks import ModelCheckpoint, EarlyStopping, ReduceLROnPlateau
from keras.optimizers import Adam
from keras import backend as K

import random
random.seed(1337)
np.random.seed(1337)

img_width, img_height = 16, 16
train_data_dir = 'data/train'
validation_data_dir = 'data/validation'
nb_train_samples = 48
nb_validation_samples = 16
epochs = 6
batch_size = 8

for folder, count in ((train_data_dir, nb_train_samples), (validation_data_dir, nb_validation_samples)):
    for label, color in (('blue', 2), ('red', 0)):
        path = os.path.join(folder, label)
        os.makedirs(path)
        for i in range(count // 2):
            pixels = np.random.randint(0, 90, (20, 20, 3))
            pixels[:, :, color] += 150
            ext = 'jpg' if i % 2 else 'png'
            Image.fromarray(pixels.astype(np.uint8)).save(os.path.join(path, '%03d.%s' % (i, ext)))

if K.image_data_format() == 'channels_first':
    input_shape = (3, img_width, img_height)
else:
    input_shape = (img_width, img_height, 3)

model = Sequential()
model.add(Conv2D(8, (3, 3), input_shape=input_shape))
model.add(Activation('relu'))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Flatten())
model.add(Dense(16))
model.add(Activation('relu'))
model.add(Dropout(0.2))
model.add(Dense(1))
model.add(Activation('sigmoid'))

model.compile(loss='binary_crossentropy',
              optimizer=Adam(lr=5e-3, decay=1e-4),
              metrics=['accuracy'])

train_datagen = ImageDataGenerator(rescale=1. / 255, zoom_range=0.1, horizontal_flip=True)
test_datagen = ImageDataGenerator(rescale=1. / 255)

train_generator = train_datagen.flow_from_directory(
    train_data_dir, target_size=(img_width, img_height), batch_size=batch_size, class_mode='binary')
validation_generator = test_datagen.flow_from_directory(
    validation_data_dir, target_size=(img_width, img_height), batch_size=batch_size, class_mode='binary', shuffle=False)

print('classes', sorted(train_generator.class_indices.items()))

checkpoint = ModelCheckpoint('weights.best.hdf5', monitor='val_acc', verbose=1, save_best_only=True, mode='max')
early = EarlyStopping(monitor='val_acc', patience=4)
plateau = ReduceLROnPlateau(monitor='val_loss', factor=0.5, patience=2, epsilon=1e-4)

history = model.fit_generator(
    train_generator,
    steps_per_epoch=nb_train_samples // batch_size,
    epochs=epochs,
    validation_data=validation_generator,
    validation_steps=nb_validation_samples // batch_size,
    callbacks=[checkpoint, early, plateau],
    verbose=0)

print('history keys', sorted(history.history.keys()))
model.load_weights('weights.best.hdf5')
loss, acc = model.evaluate_generator(validation_generator, nb_validation_samples // batch_size)
print('val acc %.3f' % acc, 'best %.3f' % max(history.history['val_acc']))

validation_generator.reset()
pred = model.predict_generator(validation_generator, steps=len(validation_generator))
right = ((pred[:, 0] > 0.5).astype(np.int) == validation_generator.classes).mean()
print('right %.3f' % right, pred.shape)
model.save_weights('first_try.h5')
