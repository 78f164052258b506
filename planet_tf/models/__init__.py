"""Latent dynamics models and the world model built around them."""
