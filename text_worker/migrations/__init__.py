"""What brings the database up to date, step by step: collections, validators, indexes.

A step that was released is never changed; each may run again, as when a process died between it and its note.
"""

from text_worker.migrations.blobs import index_blobs
from text_worker.migrations.first import create_texts
from text_worker.migrations.places import index_places
from text_worker.migrations.turns import create_turns

STEPS = {
    "0001 texts": create_texts,
    "0002 blobs": index_blobs,
    "0003 turns": create_turns,
    "0004 places": index_places,
}
