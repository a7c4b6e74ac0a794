-- Maintenance that sets pgsteward.archiving = 'on' for its transaction moves messages without one update of
-- the chat per message, and can restore updated_at. IS DISTINCT FROM: the setting is NULL in a fresh
-- session, but '' after a transaction that set it.
-- Dropped and created, because CREATE OR REPLACE TRIGGER needs PostgreSQL 14.

DROP TRIGGER IF EXISTS update_users_updated_at ON users;
CREATE TRIGGER update_users_updated_at
    BEFORE UPDATE ON users
    FOR EACH ROW
    WHEN (current_setting('pgsteward.archiving', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION update_updated_at_column();

DROP TRIGGER IF EXISTS update_chat_sessions_updated_at ON chat_sessions;
CREATE TRIGGER update_chat_sessions_updated_at
    BEFORE UPDATE ON chat_sessions
    FOR EACH ROW
    WHEN (current_setting('pgsteward.archiving', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION update_updated_at_column();

DROP TRIGGER IF EXISTS update_message_count_trigger ON messages;
CREATE TRIGGER update_message_count_trigger
    AFTER INSERT OR DELETE ON messages
    FOR EACH ROW
    WHEN (current_setting('pgsteward.archiving', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION update_message_count();
