"""Pack folders as trees: hashing what nobody vouches for, and keeping the sealed copies that run.

The folder of a pack belongs to nobody we trust and may change under us at any instant. What runs is only ever the copy
made here, whose bytes are the ones that were hashed on their way into it.
"""

from core_runtime.adapters.sealed_tree.flushing import flush_all_of
from core_runtime.adapters.sealed_tree.reader import FolderReader, digest_of
from core_runtime.adapters.sealed_tree.store import SealedStore

__all__ = ["FolderReader", "SealedStore", "digest_of", "flush_all_of"]
