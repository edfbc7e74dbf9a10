"""What qkd_pl relies on in other libraries without their promise: one module per library, each with a contract test."""
