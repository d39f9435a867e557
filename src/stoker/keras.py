"""``import stoker.keras`` gives every ``keras.Model`` the methods fit_generator, evaluate_generator and predict_generator.

Rules: Keras is imported here, on a backend that is installed; nothing that Keras defines is replaced.
"""

from __future__ import annotations

from stoker import api
from stoker.backend.choose import load_backend

load_backend()

import keras  # noqa: E402

for _name in ("fit_generator", "evaluate_generator", "predict_generator"):
    setattr(keras.Model, _name, getattr(api, _name))
