-- test:lock: notes AccessExclusiveLock
-- test:lock: people AccessExclusiveLock
-- +goose Up
ALTER TABLE notes ADD COLUMN a int;
ALTER TABLE people ADD COLUMN a int;
-- +goose Down
SELECT 1;
