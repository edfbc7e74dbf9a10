"""What we rely on in other libraries that they do not promise: one module per library, each with a contract test."""
