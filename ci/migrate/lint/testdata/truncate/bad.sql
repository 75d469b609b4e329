-- test:old: SELECT count(*) = 2 FROM notes
-- test:lock: notes AccessExclusiveLock
-- +goose Up
TRUNCATE notes;
-- +goose Down
SELECT 1;
