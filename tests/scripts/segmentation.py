# U-shaped net for segmentation of blobs, images and masks are augmented in step
import os
import random
import numpy as np
random.seed(5)
from keras.models import *
from keras.layers import *
from keras.optimizers import *
from keras.callbacks import ModelCheckpoint, LearningRateScheduler
from keras.preprocessing.image import ImageDataGenerator, array_to_img
from keras import backend as keras

smooth = 1.


def dice_coef(y_true, y_pred):
    y_true_f = keras.flatten(y_true)
    y_pred_f = keras.flatten(y_pred)
    intersection = keras.sum(y_true_f * y_pred_f)
    return (2. * intersection + smooth) / (keras.sum(y_true_f) + keras.sum(y_pred_f) + smooth)


def dice_coef_loss(y_true, y_pred):
    return -dice_coef(y_true, y_pred)


def make_data(n, folder):
    rng = np.random.RandomState(7)
    for sub in ('image', 'label'):
        os.makedirs(os.path.join(folder, sub))
    for i in range(n):
        mask = np.zeros((16, 16, 1))
        r, c = rng.randint(2, 9, 2)
        mask[r:r + 6, c:c + 6] = 255
        image = np.clip(mask * 0.6 + rng.randint(0, 80, mask.shape), 0, 255)
        array_to_img(image, scale=False).save(os.path.join(folder, 'image', '%d.png' % i))
        array_to_img(mask, scale=False).save(os.path.join(folder, 'label', '%d.png' % i))


def train_generator(batch_size, folder, aug_dict, seed=1):
    image_datagen = ImageDataGenerator(**aug_dict)
    mask_datagen = ImageDataGenerator(**aug_dict)
    image_gen = image_datagen.flow_from_directory(
        folder, classes=['image'], class_mode=None, color_mode='grayscale', target_size=(16, 16), batch_size=batch_size, seed=seed)
    mask_gen = mask_datagen.flow_from_directory(
        folder, classes=['label'], class_mode=None, color_mode='grayscale', target_size=(16, 16), batch_size=batch_size, seed=seed)
    for (img, mask) in zip(image_gen, mask_gen):
        mask = mask / 255
        mask[mask > 0.5] = 1
        mask[mask <= 0.5] = 0
        yield (img / 255, mask)


def unet(input_size=(16, 16, 1)):
    inputs = Input(input_size)
    conv1 = Conv2D(8, 3, activation='relu', padding='same', kernel_initializer='he_normal')(inputs)
    pool1 = MaxPooling2D(pool_size=(2, 2))(conv1)
    conv2 = Conv2D(16, 3, activation='relu', padding='same', kernel_initializer='he_normal')(pool1)
    drop2 = Dropout(0.1)(conv2)
    up3 = Conv2D(8, 2, activation='relu', padding='same')(UpSampling2D(size=(2, 2))(drop2))
    merge3 = concatenate([conv1, up3], axis=3)
    conv4 = Conv2D(1, 1, activation='sigmoid')(merge3)
    model = Model(input=inputs, output=conv4)
    model.compile(optimizer=Adam(lr=1e-2), loss=dice_coef_loss, metrics=[dice_coef, 'accuracy'])
    return model


make_data(24, 'membrane')
train = train_generator(4, 'membrane', dict(horizontal_flip=True, vertical_flip=True, fill_mode='nearest'))
for x, y in [next(train) for _ in range(3)]:
    assert x.shape == y.shape == (4, 16, 16, 1)
    # the blob is brighter than what is around it, so image and mask have been turned alike
    assert x[y > 0.5].mean() > x[y < 0.5].mean() + 0.3

model = unet()
model_checkpoint = ModelCheckpoint('unet_{epoch:02d}.hdf5', monitor='loss', verbose=0, save_best_only=False, period=2)
history = model.fit_generator(train, samples_per_epoch=6, nb_epoch=4, callbacks=[model_checkpoint], verbose=0)
print('dice %.3f -> %.3f' % (history.history['dice_coef'][0], history.history['dice_coef'][-1]))
print('files', sorted(f for f in os.listdir('.') if f.endswith('.hdf5')))

again = load_model('unet_04.hdf5', custom_objects={'dice_coef_loss': dice_coef_loss, 'dice_coef': dice_coef})
x, y = next(train)
print('same', bool(np.allclose(again.predict(x), model.predict(x), atol=1e-5)))
results = model.predict_generator((next(train)[0] for _ in range(3)), 3, verbose=0)
print('masks', results.shape)
