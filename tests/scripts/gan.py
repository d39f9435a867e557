'''A small GAN of points on a circle, in the style of 2017: one optimizer for the critic and for the pair, train_on_batch in a loop.'''
from __future__ import print_function

import numpy as np
from keras.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Input, Reshape
from keras.layers.advanced_activations import LeakyReLU
from keras.models import Model, Sequential
from keras.optimizers import Adam

np.random.seed(3)


class GAN():
    def __init__(self):
        self.img_shape = (2, 2, 1)
        self.latent_dim = 6
        optimizer = Adam(0.002, 0.5)
        self.discriminator = self.build_discriminator()
        self.discriminator.compile(loss='binary_crossentropy', optimizer=optimizer, metrics=['accuracy'])
        self.generator = self.build_generator()
        z = Input(shape=(self.latent_dim,))
        img = self.generator(z)
        self.discriminator.trainable = False
        validity = self.discriminator(img)
        self.combined = Model(z, validity)
        self.combined.compile(loss='binary_crossentropy', optimizer=optimizer)

    def build_generator(self):
        model = Sequential()
        model.add(Dense(16, input_dim=self.latent_dim))
        model.add(LeakyReLU(alpha=0.2))
        model.add(BatchNormalization(momentum=0.8))
        model.add(Dense(np.prod(self.img_shape), activation='tanh'))
        model.add(Reshape(self.img_shape))
        model.summary()
        noise = Input(shape=(self.latent_dim,))
        return Model(noise, model(noise))

    def build_discriminator(self):
        model = Sequential()
        model.add(Flatten(input_shape=self.img_shape))
        model.add(Dense(32))
        model.add(LeakyReLU(alpha=0.2))
        model.add(Dropout(0.1))
        model.add(Dense(1))
        model.add(Activation('sigmoid'))
        img = Input(shape=self.img_shape)
        return Model(img, model(img))

    def train(self, epochs, batch_size=32):
        angle = np.random.uniform(0, 2 * np.pi, 400)
        x_train = 0.7 * np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=-1).reshape(-1, 2, 2, 1)
        valid, fake = np.ones((batch_size, 1)), np.zeros((batch_size, 1))
        for epoch in range(epochs):
            imgs = x_train[np.random.randint(0, len(x_train), batch_size)]
            noise = np.random.normal(0, 1, (batch_size, self.latent_dim))
            gen_imgs = self.generator.predict(noise)
            made = [w.copy() for w in self.generator.get_weights()]
            d_loss_real = self.discriminator.train_on_batch(imgs, valid)
            d_loss_fake = self.discriminator.train_on_batch(gen_imgs, fake)
            d_loss = 0.5 * np.add(d_loss_real, d_loss_fake)
            judged = [w.copy() for w in self.discriminator.get_weights()]
            apart = all(np.array_equal(a, b) for a, b in zip(made, self.generator.get_weights()))
            g_loss = self.combined.train_on_batch(noise, valid)
            apart = apart and all(np.array_equal(a, b) for a, b in zip(judged, self.discriminator.get_weights()))
            moved = not np.array_equal(made[0], self.generator.get_weights()[0])
            if epoch % 50 == 0:
                print('%d [D loss: %f, acc.: %.2f%%] [G loss: %f] apart %s moved %s' % (
                    epoch, d_loss[0], 100 * d_loss[1], g_loss, apart, moved))
        gen_imgs = self.generator.predict(np.random.normal(0, 1, (200, self.latent_dim)))
        radius = np.sqrt((gen_imgs.reshape(-1, 4)[:, :2] ** 2).sum(axis=1))
        print('radius %.3f' % radius.mean())


if __name__ == '__main__':
    gan = GAN()
    gan.train(epochs=301)
