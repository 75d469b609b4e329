-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY half ON notes (author);
-- +goose Down
SELECT 1;
