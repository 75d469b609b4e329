-- test:rewrites: notes
-- test:rewrites: people
-- test:lock: notes AccessExclusiveLock
-- +goose Up
ALTER TABLE notes ADD COLUMN token uuid DEFAULT gen_random_uuid();
ALTER TABLE people ADD COLUMN number serial;
-- +goose Down
SELECT 1;
