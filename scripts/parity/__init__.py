"""What `scripts/check_parity.py` compares.

Modules hold one function for each file of golden arrays. `probe` imports no
TensorFlow, because it is used in the process of a world.
"""
