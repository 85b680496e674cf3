"""The statements that the kernel runs on its tables in PostgreSQL."""

FIND = """
SELECT queue, message_id, outcome, answer, fingerprint, versions FROM inbox
WHERE (queue, message_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
AND outcome IN ('done', 'refused')"""

LOOK_UP = """
SELECT outcome, answer, attempt, due_at, error, versions FROM inbox WHERE queue = $1 AND message_id = $2"""

_CONCLUDE = """
settled AS (
    INSERT INTO inbox (queue, message_id, actor, outcome, answer, fingerprint, versions)
    SELECT * FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[],
                         $5::bytea[], $6::bytea[], $7::text::text[]) {}
    RETURNING 1
), said AS (
    INSERT INTO outbox (id, exchange, routing_key, type, conversation, causation, traceparent, body, said_at)
    SELECT * FROM unnest($8::uuid[], $9::text::text[], $10::text::text[], $11::text::text[],
                         $12::text::text[], $13::text::text[], $14::text::text[], $15::bytea[],
                         $16::timestamptz[])
)
SELECT count(*)::int FROM settled"""
# After its WITH, which may add rows as well.

CONCLUDE = _CONCLUDE.format("""
    ON CONFLICT (queue, message_id) DO UPDATE
    SET actor = excluded.actor, outcome = excluded.outcome, answer = excluded.answer,
        fingerprint = excluded.fingerprint, versions = excluded.versions,
        error = NULL, due_at = NULL, starts = 0, noted_at = now()
    WHERE inbox.outcome IS NULL OR inbox.outcome = 'failed'""")
CONCLUDE_UNSEEN = _CONCLUDE.format("")
"""Where nobody has looked for them, since the inbox seldom has them: what it has then violates its key."""

NOTE_START = """
INSERT INTO inbox (queue, message_id, actor, starts) VALUES ($1, $2, $3, greatest($4::int, 0))
ON CONFLICT (queue, message_id) DO UPDATE
SET starts = greatest(inbox.starts + $4::int, 0), noted_at = now()
WHERE inbox.outcome IS NULL OR inbox.outcome = 'failed'
RETURNING starts"""

NOTE_ATTEMPT = """
INSERT INTO inbox (queue, message_id, actor, attempt, due_at, error) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (queue, message_id) DO UPDATE
SET attempt = excluded.attempt, due_at = excluded.due_at, error = excluded.error, outcome = NULL,
    starts = 0, noted_at = now()
WHERE inbox.outcome IS NULL OR inbox.outcome = 'failed'"""

STRANDED = """
UPDATE outbox SET sent_at = now() WHERE id IN (
    SELECT id FROM outbox WHERE sent_at < now() - $1::interval ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED)
RETURNING id, exchange, routing_key, type, conversation, causation, traceparent, body, said_at"""

BACKLOG = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(said_at)), 0)::float FROM outbox"""

CLEAR = """
WITH lazily AS (SELECT set_config('synchronous_commit', 'off', true))
DELETE FROM outbox USING lazily WHERE id = ANY($1)"""
# A deletion lost in a crash is repeated by the relay; nothing hangs on it, so no commit waits for the disk.

PURGE = """
DELETE FROM inbox WHERE (queue, message_id) IN (
    SELECT queue, message_id FROM inbox WHERE noted_at < now() - $1::interval LIMIT 1000)"""
