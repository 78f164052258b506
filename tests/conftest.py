"""Settings for all tests."""

# Before any of them imports TensorFlow: it reads its settings only then.
import planet_tf  # noqa: F401
