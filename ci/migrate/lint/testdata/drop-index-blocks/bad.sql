-- test:lock: notes AccessExclusiveLock
-- +goose Up
DROP INDEX notes_body;
-- +goose Down
SELECT 1;
