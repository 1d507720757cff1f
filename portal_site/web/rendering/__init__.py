"""What templates use: languages, formats, themes, components and assets."""
