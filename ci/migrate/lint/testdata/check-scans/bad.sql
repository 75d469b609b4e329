-- test:lock: notes AccessExclusiveLock
-- test:old: INSERT INTO notes (title) VALUES (repeat('x', 60)) RETURNING true
-- +goose Up
ALTER TABLE notes ADD CONSTRAINT short CHECK (length(title) < 50);
-- +goose Down
SELECT 1;
