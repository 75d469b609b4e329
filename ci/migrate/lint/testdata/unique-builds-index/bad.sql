-- test:lock: people AccessExclusiveLock
-- +goose Up
ALTER TABLE people ADD CONSTRAINT names UNIQUE (name);
-- +goose Down
SELECT 1;
