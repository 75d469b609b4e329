-- test:old: INSERT INTO notes (title, author) VALUES ('three', 3000000000) RETURNING true
-- test:rewrites: notes
-- test:lock: notes AccessExclusiveLock
-- +goose Up
ALTER TABLE notes ALTER COLUMN author TYPE int;
-- +goose Down
SELECT 1;
