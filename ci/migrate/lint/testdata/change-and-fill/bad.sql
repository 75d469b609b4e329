-- test:lock: notes AccessExclusiveLock
-- test:old: SELECT count(*) = 0 FROM information_schema.columns WHERE table_name = 'notes' AND column_name = 'kind'
-- +goose Up
ALTER TABLE notes ADD COLUMN kind text;
UPDATE notes SET kind = 'note' WHERE kind IS NULL;
-- +goose Down
SELECT 1;
