"""What we rely on in other libraries without their promise: a module for each, with a test of the contract."""
