"""What merchants do with their catalogue: creating, changing, archiving and listing what they sell and take off."""
