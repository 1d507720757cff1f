"""Forms, and the normalization of typed values."""
