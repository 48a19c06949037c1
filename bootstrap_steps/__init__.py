"""The steps behind `bootstrap.py`: what has to be on a machine before the kernel can run.

Standard library only. Every stage looks at what is there, does what is missing, and leaves its mark only when it is
done, so that a set-up that was killed at any instant goes on by being started again.

Nothing in here may import the kernel, decide about packs, stop or restart a container engine that runs, or write into
the checkout outside `.venv/`.
"""
