-- test:old: SELECT bool_and(body IS NOT NULL) FROM notes
-- test:lock: notes AccessExclusiveLock
-- +goose Up
ALTER TABLE notes DROP COLUMN body;
-- +goose Down
SELECT 1;
