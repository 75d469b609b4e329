-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY notes_state ON notes (author, state, body);
-- +goose Down
SELECT 1;
