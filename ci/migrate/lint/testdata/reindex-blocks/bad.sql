-- test:lock: notes ShareLock
-- +goose Up
REINDEX TABLE notes;
-- +goose Down
SELECT 1;
