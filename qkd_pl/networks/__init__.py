"""Networks, which describe circuits without weights, and models, which have them."""
