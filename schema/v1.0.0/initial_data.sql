-- The document names this file and not its content. Ours is one account that can own what no person owns:
-- inactive and without a password, so nobody can log in with it and user_stats leaves it out.
INSERT INTO users (id, email, password_hash, first_name, last_name, active)
VALUES ('00000000-0000-4000-8000-000000000001', 'system@hub.invalid', NULL, 'Hub', 'System', false)
ON CONFLICT DO NOTHING;
