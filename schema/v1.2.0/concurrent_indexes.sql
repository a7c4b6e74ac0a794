-- Walking messages from the oldest in steps: with created_at alone, rows of one import share one value and
-- every step sorts them all again.
CREATE INDEX CONCURRENTLY idx_messages_created_id ON messages(created_at, id);
