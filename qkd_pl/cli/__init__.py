"""The command line ``qkd-pl``."""
