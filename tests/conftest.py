"""Settings for all tests; read before any of them imports TensorFlow."""

import os

# Warnings and errors of TensorFlow's C++ side stay visible if it fails.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
