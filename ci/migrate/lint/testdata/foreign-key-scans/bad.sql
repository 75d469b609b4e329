-- test:lock: notes ShareRowExclusiveLock
-- test:lock: people ShareRowExclusiveLock
-- +goose Up
ALTER TABLE notes ADD CONSTRAINT by FOREIGN KEY (author) REFERENCES people (id);
-- +goose Down
SELECT 1;
