"""The doors' ports over the kernel's services: translation between values and JSON, no decisions."""
