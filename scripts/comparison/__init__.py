"""Parts of `python -m scripts.compare_results`."""
