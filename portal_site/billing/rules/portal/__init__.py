"""What a portal configuration allows, and where its links may lead."""
