-- The documented per-table indexes. Some are prefixes of others; they are kept.

CREATE INDEX idx_users_email ON users(email);
CREATE INDEX idx_users_active ON users(active);
CREATE INDEX idx_users_created_at ON users(created_at);

CREATE INDEX idx_sessions_user_id ON sessions(user_id);
CREATE INDEX idx_sessions_active ON sessions(active);
CREATE INDEX idx_sessions_last_activity ON sessions(last_activity);

CREATE INDEX idx_chat_sessions_user_id ON chat_sessions(user_id);
CREATE INDEX idx_chat_sessions_updated_at ON chat_sessions(updated_at);

CREATE INDEX idx_messages_session_id ON messages(session_id);
CREATE INDEX idx_messages_user_id ON messages(user_id);
CREATE INDEX idx_messages_created_at ON messages(created_at);

CREATE INDEX idx_artifacts_user_id ON artifacts(user_id);
CREATE INDEX idx_artifacts_session_id ON artifacts(session_id);
CREATE INDEX idx_artifacts_tool_name ON artifacts(tool_name);
CREATE INDEX idx_artifacts_created_at ON artifacts(created_at);

CREATE INDEX idx_tools_usage_user_id ON tools_usage(user_id);
CREATE INDEX idx_tools_usage_tool_name ON tools_usage(tool_name);
CREATE INDEX idx_tools_usage_created_at ON tools_usage(created_at);
