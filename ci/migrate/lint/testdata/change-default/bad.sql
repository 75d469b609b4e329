-- test:old: INSERT INTO notes (title) VALUES ('three') RETURNING state = 'new'
-- +goose Up
ALTER TABLE notes ALTER COLUMN state SET DEFAULT 'draft';
-- +goose Down
SELECT 1;
