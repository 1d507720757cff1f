"""An invoice as the team sees it: what was paid, given back and disputed of it, and the form that gives back."""
