-- test:old: SELECT attnotnull FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attname = 'title'
-- test:lock: notes AccessExclusiveLock
-- +goose Up
ALTER TABLE notes ALTER COLUMN title DROP NOT NULL;
-- +goose Down
SELECT 1;
