-- Not LIKE messages INCLUDING ALL: that copies the full-text index, which fails on very long messages,
-- and no foreign key, so a deleted user's messages would stay.
CREATE TABLE messages_archive (
    id UUID PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES chat_sessions(id) ON DELETE CASCADE,
    user_id UUID REFERENCES users(id) ON DELETE CASCADE,
    content TEXT NOT NULL,
    is_from_user BOOLEAN NOT NULL,
    metadata JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    archived_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- NULL: not moved by a run of the archive job.
    archive_run UUID
);

CREATE INDEX idx_messages_archive_session_created ON messages_archive(session_id, created_at);
CREATE INDEX idx_messages_archive_user_id ON messages_archive(user_id);
CREATE INDEX idx_messages_archive_created_id ON messages_archive(created_at, id);

-- Everything a chat ever held. messages, user_stats and message_count speak of live messages only.
CREATE VIEW messages_all AS
SELECT id, session_id, user_id, content, is_from_user, metadata, created_at, false AS archived
FROM messages
UNION ALL
SELECT id, session_id, user_id, content, is_from_user, metadata, created_at, true AS archived
FROM messages_archive;
