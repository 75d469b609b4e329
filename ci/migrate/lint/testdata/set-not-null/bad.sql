-- test:old: INSERT INTO notes (title) VALUES ('three') RETURNING true
-- test:lock: notes AccessExclusiveLock
-- +goose Up
ALTER TABLE notes ALTER COLUMN body SET NOT NULL;
-- +goose Down
SELECT 1;
