"""``qkd.noisy``: exact expectation values under a backend's noise, and their exact gradients."""
