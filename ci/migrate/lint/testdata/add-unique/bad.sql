-- test:old: INSERT INTO notes (title, author, body) VALUES ('three', 1, 'first') RETURNING true
-- +goose NO TRANSACTION
-- +goose Up
CREATE UNIQUE INDEX CONCURRENTLY notes_state ON notes (author, state, body);
-- +goose Down
SELECT 1;
