"""From folders to descriptors: which packs lie there, and what their files say, without running any of it."""
