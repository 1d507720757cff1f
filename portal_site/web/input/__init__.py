"""Forms, and the forms that typed values are taken in."""
