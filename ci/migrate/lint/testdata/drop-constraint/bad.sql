-- test:old: INSERT INTO notes (title) VALUES ('three') ON CONFLICT (title) DO NOTHING RETURNING true
-- +goose Up
ALTER TABLE notes DROP CONSTRAINT titles;
-- +goose Down
SELECT 1;
