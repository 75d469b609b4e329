-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY notes_author ON notes (author);
-- +goose Down
SELECT 1;
