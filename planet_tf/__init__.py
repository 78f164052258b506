"""PlaNet: learns a latent model of a world from images and plans in it.

A TensorFlow 2 implementation of "Learning Latent Dynamics for Planning from
Pixels" (Hafner et al., 2019). Read `train.py` first.
"""

import os

# On CPUs without AVX-512, TensorFlow leaves oneDNN's kernels off by default;
# with them, convolutions run two to four times as fast there (a small model's
# update took 0.7 s instead of 2.0 s with AVX2). Only has an effect if set
# before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"
