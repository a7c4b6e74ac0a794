CREATE TABLE google_drive_files (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    artifact_id UUID REFERENCES artifacts(id) ON DELETE CASCADE,
    drive_file_id VARCHAR(255) NOT NULL,
    name VARCHAR(255) NOT NULL,
    mime_type VARCHAR(255),
    file_size BIGINT,
    synced_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,

    UNIQUE(user_id, drive_file_id)
);

CREATE INDEX idx_google_drive_user_id ON google_drive_files(user_id);
CREATE INDEX idx_google_drive_artifact_id ON google_drive_files(artifact_id);

-- Not applied: the documented fk_artifacts_google_drive, artifacts(id) -> google_drive_files(artifact_id).
-- It points the wrong way and at a column that is not unique; artifact_id above is the real reference.
