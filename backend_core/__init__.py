"""What stands around the kernel: reading the ecosystem folder. The kernel never imports it; `app.py` hands it in."""
