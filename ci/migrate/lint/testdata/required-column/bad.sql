-- test:old: INSERT INTO notes (title) VALUES ('three') RETURNING true
-- test:before: DELETE FROM notes
-- +goose Up
ALTER TABLE notes ADD COLUMN pages int NOT NULL;
-- +goose Down
SELECT 1;
