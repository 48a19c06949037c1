"""Who provides what, and who hears what."""
