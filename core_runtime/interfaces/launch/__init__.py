"""Starting and ending: the life of a kernel with its doors, and the commands that need no kernel."""
