"""The statements that the kernel runs on its tables in SQLite."""

FIND = """
WITH wanted (queue, message_id) AS (VALUES {})
SELECT queue, message_id, outcome, answer, fingerprint, versions
FROM wanted JOIN inbox USING (queue, message_id)
WHERE outcome IN ('done', 'refused')"""

LOOK_UP = """
SELECT outcome, answer, attempt, due_at, error, versions FROM inbox WHERE queue = ? AND message_id = ?"""

SETTLE = """
INSERT INTO inbox (queue, message_id, actor, outcome, answer, fingerprint, versions, noted_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, message_id) DO UPDATE
SET actor = excluded.actor, outcome = excluded.outcome, answer = excluded.answer,
    fingerprint = excluded.fingerprint, versions = excluded.versions,
    error = NULL, due_at = NULL, starts = 0, noted_at = excluded.noted_at
WHERE inbox.outcome IS NULL OR inbox.outcome = 'failed'"""

SAY = """
INSERT INTO outbox
    (id, exchange, routing_key, type, conversation, causation, traceparent, body, said_at, sent_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

NOTE_START = """
INSERT INTO inbox (queue, message_id, actor, starts, noted_at) VALUES (?, ?, ?, max(?, 0), ?)
ON CONFLICT (queue, message_id) DO UPDATE
SET starts = max(inbox.starts + ?, 0), noted_at = excluded.noted_at
WHERE inbox.outcome IS NULL OR inbox.outcome = 'failed'
RETURNING starts"""

NOTE_ATTEMPT = """
INSERT INTO inbox (queue, message_id, actor, attempt, due_at, error, noted_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, message_id) DO UPDATE
SET attempt = excluded.attempt, due_at = excluded.due_at, error = excluded.error, outcome = NULL,
    starts = 0, noted_at = excluded.noted_at
WHERE inbox.outcome IS NULL OR inbox.outcome = 'failed'"""

STRANDED = """
UPDATE outbox SET sent_at = ? WHERE id IN (
    SELECT id FROM outbox WHERE sent_at < ? ORDER BY id LIMIT 500)
RETURNING id, exchange, routing_key, type, conversation, causation, traceparent, body, said_at"""

BACKLOG = "SELECT count(*), min(said_at) FROM outbox"

CLEAR = "DELETE FROM outbox WHERE id = ?"

PURGE = "DELETE FROM inbox WHERE rowid IN (SELECT rowid FROM inbox WHERE noted_at < ? LIMIT 1000)"
