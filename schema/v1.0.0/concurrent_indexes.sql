-- One statement at a time, outside a transaction. No IF NOT EXISTS: it would pass over an INVALID index.

-- User lookup
CREATE INDEX CONCURRENTLY idx_users_email_active ON users(email) WHERE active = true;

-- Message history
CREATE INDEX CONCURRENTLY idx_messages_session_created ON messages(session_id, created_at DESC);

-- Artifact listing
CREATE INDEX CONCURRENTLY idx_artifacts_user_created ON artifacts(user_id, created_at DESC);

-- Tool usage analytics
CREATE INDEX CONCURRENTLY idx_tools_usage_tool_created ON tools_usage(tool_name, created_at DESC);

-- Full-text search on messages
CREATE INDEX CONCURRENTLY idx_messages_content_fts ON messages USING gin(to_tsvector('english', content));
