"""PlaNet: learns a latent model of a world from images and plans in it.

A TensorFlow 2 implementation of "Learning Latent Dynamics for Planning from
Pixels" (Hafner et al., 2019). Read `train.py` first.
"""

__version__ = "0.1.0"
