"""The quantum circuits that networks are made of: embeddings, ansatz and readout."""
