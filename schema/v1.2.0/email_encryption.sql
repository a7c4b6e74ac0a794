-- The documented UPDATE needs this column. Filling it is the application's work: it holds the key.
CREATE EXTENSION IF NOT EXISTS pgcrypto;

ALTER TABLE users ADD COLUMN IF NOT EXISTS email_encrypted BYTEA;
