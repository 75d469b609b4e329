-- test:lock: notes ShareLock
-- +goose Up
CREATE INDEX notes_author ON notes (author);
-- +goose Down
SELECT 1;
