-- As documented, faults included: existing hubs have these. 1.2.0 mends get_user_activity.

CREATE OR REPLACE FUNCTION update_updated_at_column()
RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = CURRENT_TIMESTAMP;
    RETURN NEW;
END;
$$ language 'plpgsql';

CREATE OR REPLACE FUNCTION update_message_count()
RETURNS TRIGGER AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE chat_sessions
        SET message_count = message_count + 1,
            updated_at = CURRENT_TIMESTAMP
        WHERE id = NEW.session_id;
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE chat_sessions
        SET message_count = message_count - 1,
            updated_at = CURRENT_TIMESTAMP
        WHERE id = OLD.session_id;
        RETURN OLD;
    END IF;
    RETURN NULL;
END;
$$ language 'plpgsql';

CREATE OR REPLACE FUNCTION get_user_activity(
    p_user_id UUID,
    p_days INTEGER DEFAULT 30
)
RETURNS TABLE(
    chat_sessions_count BIGINT,
    messages_count BIGINT,
    artifacts_count BIGINT,
    tools_used_count BIGINT
) AS $$
BEGIN
    RETURN QUERY
    SELECT
        COUNT(DISTINCT cs.id)::BIGINT,
        COUNT(DISTINCT m.id)::BIGINT,
        COUNT(DISTINCT a.id)::BIGINT,
        COUNT(DISTINCT tu.id)::BIGINT
    FROM users u
    LEFT JOIN chat_sessions cs ON u.id = cs.user_id
        AND cs.created_at >= CURRENT_DATE - INTERVAL '1 day' * p_days
    LEFT JOIN messages m ON cs.id = m.session_id
        AND m.created_at >= CURRENT_DATE - INTERVAL '1 day' * p_days
    LEFT JOIN artifacts a ON u.id = a.user_id
        AND a.created_at >= CURRENT_DATE - INTERVAL '1 day' * p_days
    LEFT JOIN tools_usage tu ON u.id = tu.user_id
        AND tu.created_at >= CURRENT_DATE - INTERVAL '1 day' * p_days
    WHERE u.id = p_user_id
    GROUP BY u.id;
END;
$$ LANGUAGE plpgsql;
