"""Feed-forward networks: convolutional encoder and decoder, vector heads."""
